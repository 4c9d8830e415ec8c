"""Instructor around the OpenAI, Anthropic and Google SDKs against a running Tollgate, in each of its modes, with models
behind every dialect. It brings older SDKs of OpenAI and Anthropic along, whose habits on the wire differ.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

import logging
from collections.abc import Iterable

import anthropic as anthropic_sdk
import instructor
import openai as openai_sdk
from google import genai
from google.genai import errors, types
from instructor import Mode, Partial
from pydantic import BaseModel

from harness import BASE, HELLO, KEY, LastRequest, MODELS, PNG_URI, SLOWLY, UNKNOWN
from harness import is_echo, promise, provider_fails, raised, run, was_left

# The fake calls the tool with what is said here; where a schema is asked for instead, it answers the least that fits.
FILLED = {"name": "Paris", "population": 2, "districts": ["Louvre", "Temple"]}
LEAST = {"name": "toll", "population": 1, "districts": ["toll"]}
PARIS = 'Please call City({"name":"Paris","population":2,"districts":["Louvre","Temple"]}) for me'
# The tool of an object that grows has another name.
GROWING = PARIS.replace("City", "PartialCity")
TWO = 'Please call City({"name":"Paris","population":2,"districts":[]}) and call Weather({"rain":true}) for me'
WRONG = 'Please call City({"name":"Paris","population":"many","districts":[]}) for me'


class City(BaseModel):
    """A city."""

    name: str
    population: int
    districts: list[str]


class Weather(BaseModel):
    """The weather."""

    rain: bool


class Said(BaseModel):
    """What the fake says when it is only told to speak JSON."""

    said: str


def openai(mode, key=KEY):
    client = openai_sdk.OpenAI(base_url=f"{BASE}/v1", api_key=key, max_retries=0, timeout=30)
    return instructor.from_openai(client, mode=mode), {}


def anthropic(mode, key=KEY):
    client = anthropic_sdk.Anthropic(base_url=BASE, api_key=key, max_retries=0, timeout=30)
    return instructor.from_anthropic(client, mode=mode), {"max_tokens": 1000}


def google(mode, key=KEY):
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=BASE, timeout=30_000))
    return instructor.from_genai(client, mode=mode), {}


class Way:
    """A client in one of Instructor's modes."""

    def __init__(self, family, mode):
        self.family, self.mode = family, mode
        self.name = f"{family.__name__} {mode.name}"

    def create(self, model, text, response_model=City, key=KEY, **options):
        client, more = self.family(self.mode, key)
        messages = [{"role": "user", "content": text}]
        options = {"max_retries": 1, **more, **options}
        return client.chat.completions.create(model=model, messages=messages, response_model=response_model, **options)


last_request = LastRequest()
logging.disable()
WITH_TOOLS = [
    Way(openai, Mode.TOOLS),
    Way(openai, Mode.TOOLS_STRICT),
    Way(openai, Mode.RESPONSES_TOOLS),
    Way(anthropic, Mode.TOOLS),
    Way(google, Mode.GENAI_TOOLS),
]
WITH_SCHEMAS = [Way(openai, Mode.JSON_SCHEMA), Way(google, Mode.GENAI_STRUCTURED_OUTPUTS)]
WAYS = WITH_TOOLS + WITH_SCHEMAS
PLAIN = [Way(openai, Mode.TOOLS), Way(anthropic, Mode.TOOLS), Way(google, Mode.GENAI_TOOLS)]


@promise(WITH_TOOLS, MODELS)
def an_object_is_filled_by_a_tool(way, model):
    assert way.create(model, PARIS).model_dump() == FILLED


@promise(WITH_SCHEMAS, MODELS)
def an_object_is_filled_by_a_schema(way, model):
    assert way.create(model, "Tell me about Paris").model_dump() == LEAST


# Anthropic has no such mode: its models are only told to, and the fake does not listen.
@promise([Way(openai, Mode.JSON)], [model for model in MODELS if model != "strict/anthropic"])
def an_object_is_filled_by_json(way, model):
    assert HELLO in way.create(model, HELLO, Said).said


@promise(WAYS, MODELS)
def an_object_grows_while_it_streams(way, model):
    *_, last = way.create(model, GROWING, Partial[City], stream=True)
    assert City.model_validate(last.model_dump()).model_dump() == (FILLED if way in WITH_TOOLS else LEAST), last


@promise([Way(openai, Mode.PARALLEL_TOOLS), Way(anthropic, Mode.PARALLEL_TOOLS)], MODELS)
def objects_are_filled_side_by_side(way, model):
    objects = [made.model_dump() for made in way.create(model, TWO, Iterable[City | Weather])]
    assert objects == [{"name": "Paris", "population": 2, "districts": []}, {"rain": True}], objects


# In Responses the second try stands beside the first one, which the fake would follow again.
@promise([way for way in WITH_TOOLS if way.mode != Mode.RESPONSES_TOOLS], MODELS)
def a_wrong_object_is_asked_for_again(way, model):
    city = way.create(model, WRONG, max_retries=2)
    assert isinstance(city, City), city


@promise(PLAIN, MODELS)
def plain_text_is_answered(way, model):
    answer = way.create(model, HELLO, None)
    if way.family is openai:
        is_echo(answer.choices[0].message.content)
    elif way.family is anthropic:
        is_echo(answer.content[0].text)
    else:
        is_echo(answer.text)


@promise(WITH_TOOLS, MODELS)
def an_image_is_taken(way, model):
    city = way.create(model, [PARIS, instructor.Image.from_base64(PNG_URI)])
    assert city.name == "Paris", city


# The errors of each family's own SDK, which Instructor keeps as the cause of its own.
REFUSED = {
    openai: (openai_sdk.AuthenticationError, openai_sdk.NotFoundError, openai_sdk.RateLimitError),
    anthropic: (anthropic_sdk.AuthenticationError, anthropic_sdk.NotFoundError, anthropic_sdk.RateLimitError),
    google: (errors.ClientError, errors.ClientError, errors.ClientError),
}


def refused(way, kind, model, text, key=KEY):
    error = raised(Exception, lambda: way.create(model, text, key=key), is_exact=False)
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    assert error is not None, kind
    return error


@promise(PLAIN, MODELS)
def a_wrong_key_is_refused(way, model):
    refused(way, REFUSED[way.family][0], model, HELLO, "nonsense")


@promise(PLAIN)
def a_model_that_is_not_there_is_not_found(way):
    refused(way, REFUSED[way.family][1], UNKNOWN, HELLO)


@promise(PLAIN, MODELS)
def the_providers_failures_have_their_classes(way, model):
    refused(way, REFUSED[way.family][2], model, provider_fails(429))


@promise(PLAIN[:2], MODELS)
def who_leaves_in_the_middle_is_noticed(way, model):
    # Streams of objects are collected before they are given; those of the SDK beneath are not.
    stream = way.create(model, SLOWLY, None, stream=True)
    next(iter(stream))
    stream.close()
    was_left(last_request.identity)


run()
