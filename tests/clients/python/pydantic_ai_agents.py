"""Agents of pydantic-ai on its OpenAI (Chat Completions and Responses), Anthropic, Google and OpenRouter models against
a running Tollgate, each with models behind every dialect.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

import asyncio
import gc

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    BinaryContent,
    Embedder,
    ModelHTTPError,
    ModelMessagesTypeAdapter,
    NativeOutput,
    ThinkingPart,
    ToolCallPart,
    ToolOutput,
)
from pydantic_ai.embeddings.google import GoogleEmbeddingModel
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.models.openrouter import OpenRouterModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openrouter import OpenRouterProvider

from harness import BASE, EMBEDDER, GEMINI_EMBEDDER, HELLO, KEY, LastRequest, MODELS, PNG, SLOWLY, TWO_CITIES
from harness import TWO_STEPS, UNKNOWN
from harness import WEATHER, are_results, are_thoughts, is_echo, is_echo_with_image, promise, provider_fails, raised
from harness import run, was_left, weather


class City(BaseModel):
    """A city."""

    name: str
    population: int
    districts: list[str]


# Some ask for schemas and bring thoughts back only where they know the model by name.
ANY_MODEL = {"supports_json_schema_output": True}
ANY_THINKER = {"openai_supports_reasoning": True, "openai_supports_encrypted_reasoning_content": True}


def chat(model, key=KEY):
    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{BASE}/v1", api_key=key))


def responses(model, key=KEY):
    provider = OpenAIProvider(base_url=f"{BASE}/v1", api_key=key)
    return OpenAIResponsesModel(model, provider=provider, profile=ANY_THINKER)


def anthropic(model, key=KEY):
    provider = AnthropicProvider(base_url=BASE, api_key=key)
    return AnthropicModel(model, provider=provider, profile=ANY_MODEL)


def google(model, key=KEY):
    return GoogleModel(model, provider=GoogleProvider(base_url=BASE, api_key=key))


def openrouter(model, key=KEY):
    client = AsyncOpenAI(base_url=f"{BASE}/api/v1", api_key=key)
    return OpenRouterModel(model, provider=OpenRouterProvider(openai_client=client), profile=ANY_MODEL)


last_request = LastRequest()
# All on one loop, as the clients keep their connections from one run to the next.
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
# What each takes to think and to show it.
THINKING = {
    chat: {"openai_reasoning_effort": "low"},
    responses: {"openai_reasoning_effort": "low", "openai_reasoning_summary": "auto", "openai_store": False},
    anthropic: {"anthropic_thinking": {"type": "enabled", "budget_tokens": 2000}},
    google: {"google_thinking_config": {"include_thoughts": True, "thinking_budget": 2000}},
    openrouter: {"openrouter_reasoning": {"effort": "low"}},
}
FAMILIES = list(THINKING)
for family in FAMILIES:
    family.name = family.__name__
SETTINGS = {"max_tokens": 4000, "max_retries": 0, "timeout": 30}


def is_passed_through(family, model, *_):
    """OpenRouterModel takes no answer that does not say which provider gave it; within one API family answers stay as
    their providers wrote them, and those do not. For such models there is OpenAIChatModel."""
    return family is openrouter and model == "strict/openai-chat"


SHAPES = [ToolOutput, NativeOutput]
for shape in SHAPES:
    shape.name = shape.__name__


def agent(model, asked=None, **options):
    options = {"model_settings": SETTINGS, **options}
    agent = Agent(model, **options)
    if asked is not None:

        @agent.tool_plain
        def get_weather(city: str):
            """The weather in a city."""
            asked.append(city)
            # A text for Google goes as {"return_value": …}, a dictionary as it is; for the others it would become JSON.
            return {"result": weather(city)} if isinstance(model, GoogleModel) else weather(city)

    return agent


def calls_of(result):
    return [part for message in result.new_messages() for part in message.parts if isinstance(part, ToolCallPart)]


@promise(FAMILIES, MODELS, unless=is_passed_through)
def a_conversation_is_answered(family, model):
    talker = agent(family(model), instructions="Be brief.")
    first = talker.run_sync("First")
    is_echo(first.output, "First")
    second = talker.run_sync("Second", message_history=first.all_messages())
    is_echo(second.output, "Second")
    assert second.usage.input_tokens > 0 and second.usage.output_tokens > 0, second.usage


@promise(FAMILIES, MODELS, unless=is_passed_through)
def a_stream_says_the_same_as_the_whole_answer(family, model):
    async def streamed():
        async with agent(family(model)).run_stream(HELLO) as result:
            pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
            return pieces, result.usage

    pieces, usage = loop.run_until_complete(streamed())
    assert len(pieces) > 1 and "".join(pieces) == agent(family(model)).run_sync(HELLO).output, pieces
    assert usage.output_tokens > 0, usage


@promise(FAMILIES, MODELS, unless=is_passed_through)
def tools_are_called_until_there_is_an_answer(family, model):
    for text, cities, requests in [
        (WEATHER, ["Paris"], 2),
        (TWO_CITIES, ["Paris", "Oslo"], 2),
        (TWO_STEPS, ["Rome", "Oslo"], 3),
    ]:
        asked = []
        result = agent(family(model), asked).run_sync(text)
        assert sorted(asked) == sorted(cities) and result.usage.requests == requests, (asked, result.usage)
        assert len({call.tool_call_id for call in calls_of(result)}) == len(cities), calls_of(result)
        are_results(result.output, *cities)


@promise(FAMILIES, MODELS, unless=is_passed_through)
def tool_calls_stream(family, model):
    asked = []

    async def streamed():
        async with agent(family(model), asked).run_stream(TWO_CITIES) as result:
            return await result.get_output()

    are_results(loop.run_until_complete(streamed()), "Paris", "Oslo")
    assert sorted(asked) == ["Oslo", "Paris"], asked


@promise(FAMILIES, MODELS, unless=is_passed_through)
def a_conversation_with_tools_and_thoughts_goes_on(family, model):
    thinker = agent(family(model), [], model_settings={**SETTINGS, **THINKING[family]})
    first = thinker.run_sync(TWO_STEPS)
    are_results(first.output, "Rome", "Oslo")
    parts = [part for message in first.all_messages() for part in message.parts]
    thoughts = "".join(part.content for part in parts if isinstance(part, ThinkingPart))
    # OpenAI's Chat Completions have no field for thoughts, but this client knows those that others gave them.
    are_thoughts(model, thoughts)
    # As kept in a database between two requests of somebody's.
    history = ModelMessagesTypeAdapter.validate_json(first.all_messages_json())
    are_results(thinker.run_sync(TWO_CITIES, message_history=history).output, "Paris", "Oslo")


@promise(FAMILIES, MODELS, SHAPES, unless=is_passed_through)
def an_answer_has_the_shape_that_was_asked_for(family, model, shape):
    result = agent(family(model), output_type=shape(City)).run_sync("Tell me about Paris")
    assert isinstance(result.output, City), result


@promise(FAMILIES, MODELS, unless=is_passed_through)
def an_image_is_seen(family, model):
    image = BinaryContent(PNG, media_type="image/png")
    is_echo_with_image(agent(family(model)).run_sync([HELLO, image]).output)


@promise()
def texts_are_embedded():
    openai = OpenAIEmbeddingModel(EMBEDDER, provider=OpenAIProvider(base_url=f"{BASE}/v1", api_key=KEY))
    gemini = GoogleEmbeddingModel(GEMINI_EMBEDDER, provider=GoogleProvider(base_url=BASE, api_key=KEY))
    for model in [openai, gemini]:
        result = Embedder(model).embed_documents_sync(["one", "two", "one"])
        one, two, again = result.embeddings
        assert len(one) > 1 and one == again != two, result


def refused(family, model, text, key=KEY):
    return raised(ModelHTTPError, lambda: agent(family(model, key)).run_sync(text), is_exact=False)


@promise(FAMILIES, MODELS, unless=is_passed_through)
def a_wrong_key_is_refused(family, model):
    assert refused(family, model, HELLO, "nonsense").status_code == 401


@promise(FAMILIES)
def a_model_that_is_not_there_is_not_found(family):
    assert refused(family, UNKNOWN, HELLO).status_code == 404


@promise(FAMILIES, MODELS, unless=is_passed_through)
def the_providers_failures_are_known(family, model):
    assert refused(family, model, provider_fails(429)).status_code == 429
    assert refused(family, model, provider_fails(500)).status_code in (500, 502)
    assert refused(family, model, provider_fails(400)).status_code == 400


@promise(FAMILIES, MODELS, unless=is_passed_through)
def who_leaves_in_the_middle_is_noticed(family, model):
    async def leaves():
        first = asyncio.Event()

        async def reads():
            async with agent(family(model)).run_stream(SLOWLY) as result:
                async for _ in result.stream_text(delta=True, debounce_by=None):
                    first.set()

        reader = asyncio.create_task(reads())
        await asyncio.wait_for(first.wait(), 30)
        reader.cancel()
        await asyncio.wait([reader], timeout=30)
        assert reader.cancelled(), reader
        # Google's client hangs up only once it is swept up.
        del reader
        gc.collect()
        await asyncio.to_thread(was_left, last_request.identity)

    loop.run_until_complete(leaves())


run()
