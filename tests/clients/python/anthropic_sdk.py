"""The official Anthropic SDK for Python against a running Tollgate, with models behind every dialect.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

import json

import anthropic
from anthropic import Anthropic, beta_tool
from pydantic import BaseModel

from harness import (
    BASE,
    HELLO,
    KEY,
    MODELS,
    PNG_BASE64,
    SLOWLY,
    TWO_CITIES,
    TWO_STEPS,
    UNKNOWN,
    WEATHER,
    WEATHER_SCHEMA,
)
from harness import are_results, are_thoughts, is_echo, is_echo_with_image, promise, provider_fails, raised, run
from harness import was_left, weather

TOOLS = [{"name": "get_weather", "description": "The weather", "input_schema": WEATHER_SCHEMA}]


class City(BaseModel):
    name: str
    population: int
    districts: list[str]


def client(key=KEY):
    return Anthropic(base_url=BASE, api_key=key, max_retries=0, timeout=30)


def user(content):
    return [{"role": "user", "content": content}]


def message(model, content, key=KEY, **options):
    return client(key).messages.create(model=model, max_tokens=200, messages=user(content), **options)


def text_of(answer):
    return "".join(block.text for block in answer.content if block.type == "text")


def calls_of(answer):
    return [block for block in answer.content if block.type == "tool_use"]


def after(messages, answer):
    """The conversation after each tool of the answer was used."""
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": weather(call.input["city"])}
        for call in calls_of(answer)
    ]
    return [*messages, {"role": "assistant", "content": answer.content}, *user(results)]


@promise(MODELS)
def a_conversation_is_answered(model):
    messages = [*user("Who are you?"), {"role": "assistant", "content": "Somebody."}, *user(HELLO)]
    answer = client().messages.create(
        model=model, max_tokens=200, system="Be brief.", messages=messages, stop_sequences=["THE END"]
    )
    is_echo(text_of(answer))
    assert answer.type == "message" and answer.role == "assistant" and answer.stop_reason == "end_turn", answer
    assert answer.model == model, answer.model
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer.usage
    assert answer._request_id.startswith("req_")


@promise(MODELS)
def a_stream_says_the_same_as_the_whole_answer(model):
    whole = text_of(message(model, HELLO))
    with client().messages.stream(model=model, max_tokens=200, messages=user(HELLO)) as stream:
        events = list(stream)
        final = stream.get_final_message()
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop", kinds
    assert "".join(event.text for event in events if event.type == "text") == text_of(final) == whole
    assert final.stop_reason == "end_turn" and final.model == model, final
    assert final.usage.input_tokens > 0 and final.usage.output_tokens > 0, final.usage


@promise(MODELS)
def a_tool_is_used_and_its_result_answered(model):
    first = message(model, WEATHER, tools=TOOLS)
    assert first.stop_reason == "tool_use", first
    [call] = calls_of(first)
    assert call.id and call.name == "get_weather" and call.input == {"city": "Paris"}, call
    second = client().messages.create(model=model, max_tokens=200, messages=after(user(WEATHER), first), tools=TOOLS)
    assert second.stop_reason == "end_turn", second
    are_results(text_of(second), "Paris")


@promise(MODELS)
def tools_are_used_side_by_side(model):
    first = message(model, TWO_CITIES, tools=TOOLS)
    calls = calls_of(first)
    assert [call.input for call in calls] == [{"city": "Paris"}, {"city": "Oslo"}], calls
    assert len({call.id for call in calls}) == 2, calls
    second = client().messages.create(model=model, max_tokens=200, messages=after(user(TWO_CITIES), first), tools=TOOLS)
    are_results(text_of(second), "Paris", "Oslo")


@promise(MODELS)
def tool_input_streams_in_pieces(model):
    pieces = {}
    with client().messages.stream(model=model, max_tokens=200, messages=user(TWO_CITIES), tools=TOOLS) as stream:
        for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                pieces[event.index] = pieces.get(event.index, "") + event.delta.partial_json
        final = stream.get_final_message()
    assert [json.loads(text)["city"] for text in pieces.values()] == ["Paris", "Oslo"], pieces
    assert [call.input["city"] for call in calls_of(final)] == ["Paris", "Oslo"] and final.stop_reason == "tool_use"
    second = client().messages.create(model=model, max_tokens=200, messages=after(user(TWO_CITIES), final), tools=TOOLS)
    are_results(text_of(second), "Paris", "Oslo")


@promise(MODELS)
def the_tool_runner_comes_to_an_end(model):
    asked = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Name of the city
        """
        asked.append(city)
        return weather(city)

    runner = client().beta.messages.tool_runner(
        model=model, max_tokens=200, messages=user(TWO_CITIES), tools=[get_weather]
    )
    final = runner.until_done()
    assert asked == ["Paris", "Oslo"], asked
    are_results(text_of(final), "Paris", "Oslo")


@promise(MODELS)
def a_tool_can_be_forced_and_forbidden(model):
    answer = message(model, HELLO, tools=TOOLS, tool_choice={"type": "tool", "name": "get_weather"})
    assert [call.name for call in calls_of(answer)] == ["get_weather"], answer
    answer = message(model, WEATHER, tools=TOOLS, tool_choice={"type": "none"})
    assert answer.stop_reason == "end_turn" and text_of(answer) and not calls_of(answer), answer


@promise(MODELS)
def a_conversation_with_tools_and_thoughts_goes_on(model):
    options = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}, "tools": TOOLS}
    messages, thoughts = user(TWO_STEPS), ""
    for expected in ["Rome", "Oslo"]:
        answer = client().messages.create(model=model, messages=messages, **options)
        assert [call.input["city"] for call in calls_of(answer)] == [expected], answer
        thoughts += "".join(block.thinking for block in answer.content if block.type == "thinking")
        messages = after(messages, answer)
    are_results(text_of(client().messages.create(model=model, messages=messages, **options)), "Rome", "Oslo")
    are_thoughts(model, thoughts)


@promise(MODELS)
def an_answer_has_the_shape_that_was_asked_for(model):
    answer = client().messages.parse(
        model=model, max_tokens=200, messages=user("Tell me about Paris"), output_format=City
    )
    assert isinstance(answer.parsed_output, City), answer
    with client().messages.stream(model=model, max_tokens=200, messages=user("And Oslo"), output_format=City) as stream:
        assert isinstance(stream.get_final_message().parsed_output, City)


@promise(MODELS)
def an_image_is_seen(model):
    source = {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}
    answer = message(model, [{"type": "image", "source": source}, {"type": "text", "text": HELLO}])
    is_echo_with_image(text_of(answer))


@promise(MODELS)
def tokens_are_counted(model):
    short = client().messages.count_tokens(model=model, messages=user(HELLO)).input_tokens
    long = client().messages.count_tokens(model=model, messages=user(HELLO * 100)).input_tokens
    assert 0 < short < long, (short, long)


@promise()
def models_are_listed():
    rows = {row.id: row for row in client().models.list()}
    for model in MODELS:
        assert rows[model].type == "model" and rows[model].display_name, rows
        assert client().models.retrieve(model).id == model


@promise(MODELS)
def a_wrong_key_is_refused(model):
    error = raised(anthropic.AuthenticationError, lambda: message(model, HELLO, key="nonsense"))
    assert error.body["error"]["type"] == "authentication_error" and error.request_id.startswith("req_"), error.body


@promise()
def a_model_that_is_not_there_is_not_found():
    error = raised(anthropic.NotFoundError, lambda: message(UNKNOWN, HELLO))
    assert error.body["error"]["type"] == "not_found_error", error.body


@promise(MODELS, [False, True])
def the_providers_failures_have_their_classes(model, stream):
    error = raised(anthropic.RateLimitError, lambda: message(model, provider_fails(429), stream=stream))
    assert error.body["error"]["type"] == "rate_limit_error", error.body
    error = raised(anthropic.InternalServerError, lambda: message(model, provider_fails(500), stream=stream))
    assert error.body["error"]["type"] == "api_error", error.body
    error = raised(anthropic.BadRequestError, lambda: message(model, provider_fails(400), stream=stream))
    assert error.body["error"]["type"] == "invalid_request_error", error.body


@promise(MODELS)
def who_leaves_in_the_middle_is_noticed(model):
    with client().messages.stream(model=model, max_tokens=200, messages=user(SLOWLY)) as stream:
        identity = stream.request_id
        next(iter(stream.text_stream))
    was_left(identity)


run()
