"""The official OpenAI SDK for Python against a running Tollgate: what its users rely on, seen with their eyes. Chat
Completions and Responses, each with models behind every dialect.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

import json
import os

import openai
from openai import OpenAI
from openai.types.chat import ChatCompletionMessage
from openai.types.chat import ChatCompletionMessageFunctionToolCall as ToolCall
from pydantic import BaseModel

from harness import (
    BASE,
    EMBEDDER,
    KEYS,
    MODELS,
    PNG_URI,
    SLOWLY,
    TWO_CITIES,
    TWO_STEPS,
    UNKNOWN,
    WEATHER,
    WEATHER_SCHEMA,
)
from harness import are_results, are_thoughts, is_echo, is_echo_with_image, promise, provider_fails, raised, run
from harness import was_left, weather

MODEL = os.environ["TOLLGATE_MODEL"]
HELLO = [{"role": "user", "content": "Hello there"}]


def client(key="good", **options):
    return OpenAI(base_url=f"{BASE}/v1", api_key=KEYS.get(key, key), max_retries=0, timeout=30, **options)


# The gateway itself: usage, models, refusals and limits, with one model of the caller's own dialect.


@promise()
def chat_answers():
    answer = client().chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL, answer.model
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.cost > 0 and answer.usage.is_byok is False
    assert answer._request_id.startswith("req_")


@promise()
def a_stream_without_usage_has_none():
    text, finish = "", None
    for chunk in client().chat.completions.create(model=MODEL, messages=HELLO, stream=True):
        assert chunk.usage is None, chunk
        assert chunk.model == MODEL, chunk.model
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text and finish == "stop"


@promise()
def a_stream_with_usage_ends_in_it():
    options = {"include_usage": True}
    chunks = list(client().chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options))
    last = chunks[-1]
    assert last.choices == [] and last.usage.total_tokens > 0 and last.usage.cost > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


@promise()
def the_stream_helper_folds():
    with client().chat.completions.stream(model=MODEL, messages=HELLO) as stream:
        for _ in stream:
            pass
        whole = stream.get_final_completion()
    assert whole.choices[0].message.content


@promise()
def models_are_listed():
    ids = [model.id for model in client().models.list()]
    assert MODEL in ids, ids
    assert client().models.retrieve(MODEL).id == MODEL


@promise()
def a_wrong_key_is_an_authentication_error():
    for key in ["nonsense", KEYS["good"][:-1] + ("a" if KEYS["good"][-1] != "a" else "b")]:
        error = raised(
            openai.AuthenticationError, lambda: client(key).chat.completions.create(model=MODEL, messages=HELLO)
        )
        assert error.code == "invalid_api_key" and error.type == "authentication_error", error.body
        assert error.request_id.startswith("req_")


@promise()
def an_unknown_model_is_not_found():
    error = raised(
        openai.NotFoundError, lambda: client().chat.completions.create(model="nobody/nothing", messages=HELLO)
    )
    assert error.code == "model_not_found" and error.type == "invalid_request_error", error.body


@promise()
def a_malformed_body_is_a_bad_request():
    error = raised(openai.BadRequestError, lambda: client().chat.completions.create(model=MODEL, messages="not a list"))
    assert error.type == "invalid_request_error" and error.param == "messages", error.body
    error = raised(
        openai.BadRequestError,
        lambda: client().chat.completions.create(model=MODEL, messages=HELLO, extra_body={"stream": "yes"}),
    )
    assert error.param == "stream", error.body


@promise()
def a_body_over_the_limit_is_refused():
    huge = [{"role": "user", "content": "x" * (33 << 20)}]
    error = raised(openai.APIStatusError, lambda: client().chat.completions.create(model=MODEL, messages=huge))
    assert error.status_code == 413 and error.type == "invalid_request_error", error.body


@promise()
def empty_credits_say_so():
    error = raised(openai.APIStatusError, lambda: client("empty").chat.completions.create(model=MODEL, messages=HELLO))
    assert error.status_code == 402 and error.code == "insufficient_quota", error.body
    assert error.response.headers["x-should-retry"] == "false"


@promise()
def a_used_up_budget_is_a_permission_error():
    spender = client("budget")

    def spend():
        for _ in range(200):
            spender.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=50)

    error = raised(openai.PermissionDeniedError, spend)
    assert error.code == "key_limit_exceeded" and error.type == "permission_error", error.body


@promise()
def a_rate_limit_has_its_headers():
    limited = client("rate")

    def burst():
        for _ in range(20):
            raw = limited.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
            assert raw.headers["x-ratelimit-limit-requests"] == "5"
            assert 0 <= int(raw.headers["x-ratelimit-remaining-requests"]) <= 5

    error = raised(openai.RateLimitError, burst)
    headers = error.response.headers
    assert error.code == "rate_limit_exceeded", error.body
    assert int(headers["retry-after"]) >= 1 and int(headers["retry-after-ms"]) > 0
    assert headers["x-ratelimit-limit-requests"] == "5" and headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"]


@promise()
def a_client_that_leaves_is_not_an_error():
    stream = client().chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    chat_answers()


# Chat Completions with every dialect behind it.


TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "The weather", "parameters": WEATHER_SCHEMA},
    }
]


class City(BaseModel):
    name: str
    population: int
    districts: list[str]


def chat(model, messages, **options):
    return client().chat.completions.create(model=model, messages=messages, **options)


def user(text):
    return [{"role": "user", "content": text}]


def with_results(messages, message):
    """The conversation after each tool call of the message was carried out."""
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": weather(json.loads(call.function.arguments)["city"])}
        for call in message.tool_calls
    ]
    return [*messages, message, *results]


@promise(MODELS)
def a_conversation_is_answered(model):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "Somebody."},
        {"role": "user", "content": "Hello there"},
    ]
    answer = chat(model, messages, max_completion_tokens=100, temperature=0.5, stop=["THE END"])
    is_echo(answer.choices[0].message.content)
    assert answer.choices[0].finish_reason == "stop" and answer.choices[0].message.role == "assistant"
    assert answer.model == model, answer.model
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0 and answer.usage.cost > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")


@promise(MODELS)
def a_stream_says_the_same_as_the_whole_answer(model):
    whole = chat(model, HELLO).choices[0].message.content
    text, finishes, usages, ids = "", [], [], set()
    for chunk in chat(model, HELLO, stream=True, stream_options={"include_usage": True}):
        ids.add(chunk.id)
        assert chunk.model == model, chunk.model
        usages += [chunk.usage] if chunk.usage else []
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finishes += [choice.finish_reason] if choice.finish_reason else []
    assert text == whole, (text, whole)
    assert finishes == ["stop"] and len(ids) == 1, (finishes, ids)
    assert len(usages) == 1 and usages[0].completion_tokens > 0 and usages[0].cost > 0, usages


@promise(MODELS)
def a_tool_is_called_and_its_result_answered(model):
    first = chat(model, user(WEATHER), tools=TOOLS).choices[0]
    assert first.finish_reason == "tool_calls", first
    [call] = first.message.tool_calls
    assert call.id and call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Paris"}
    second = chat(model, with_results(user(WEATHER), first.message), tools=TOOLS).choices[0]
    assert second.finish_reason == "stop", second
    are_results(second.message.content, "Paris")


@promise(MODELS)
def tools_are_called_side_by_side(model):
    first = chat(model, user(TWO_CITIES), tools=TOOLS).choices[0]
    calls = first.message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Oslo"], calls
    assert len({call.id for call in calls}) == 2, calls
    second = chat(model, with_results(user(TWO_CITIES), first.message), tools=TOOLS).choices[0].message
    are_results(second.content, "Paris", "Oslo")


@promise(MODELS)
def tool_calls_stream_in_pieces(model):
    with client().chat.completions.stream(model=model, messages=user(TWO_CITIES), tools=TOOLS) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        message = stream.get_final_completion().choices[0].message
    # Without the fields that the helper adds, which OpenAI does not take back.
    calls = [ToolCall(**call.model_dump(exclude={"index"})) for call in message.tool_calls]
    for call in calls:
        del call.function.parsed_arguments
    message = ChatCompletionMessage(role="assistant", content=message.content, tool_calls=calls)
    assert [json.loads(event.arguments)["city"] for event in done] == ["Paris", "Oslo"], done
    second = chat(model, with_results(user(TWO_CITIES), message), tools=TOOLS).choices[0].message
    are_results(second.content, "Paris", "Oslo")


@promise(MODELS)
def a_tool_can_be_forced_and_forbidden(model):
    forced = {"type": "function", "function": {"name": "get_weather"}}
    choice = chat(model, HELLO, tools=TOOLS, tool_choice=forced).choices[0]
    assert [call.function.name for call in choice.message.tool_calls] == ["get_weather"], choice
    choice = chat(model, user(WEATHER), tools=TOOLS, tool_choice="none").choices[0]
    assert choice.finish_reason == "stop" and not choice.message.tool_calls and choice.message.content, choice


@promise(MODELS)
def a_conversation_with_tools_and_thoughts_goes_on(model):
    messages, thoughts = user(TWO_STEPS), ""
    for expected in ["Rome", "Oslo"]:
        message = chat(model, messages, tools=TOOLS, reasoning_effort="low").choices[0].message
        assert [json.loads(call.function.arguments)["city"] for call in message.tool_calls] == [expected], message
        thoughts += getattr(message, "reasoning_content", None) or ""
        # The SDK brings back the fields that it does not know, and with them what the provider signed.
        messages = with_results(messages, message)
    message = chat(model, messages, tools=TOOLS, reasoning_effort="low").choices[0].message
    are_results(message.content, "Rome", "Oslo")
    are_thoughts(model, thoughts)


@promise(MODELS)
def an_answer_has_the_shape_that_was_asked_for(model):
    answer = client().chat.completions.parse(model=model, messages=user("Tell me about Paris"), response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City), answer
    with client().chat.completions.stream(model=model, messages=user("And Oslo"), response_format=City) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, City)
    # Anthropic has no such mode: its models are only told to, and the fake does not listen.
    if model != "strict/anthropic":
        answer = chat(model, user("Answer in JSON"), response_format={"type": "json_object"})
        assert isinstance(json.loads(answer.choices[0].message.content), dict), answer


@promise(MODELS)
def an_image_is_seen(model):
    parts = [{"type": "text", "text": "Hello there"}, {"type": "image_url", "image_url": {"url": PNG_URI}}]
    is_echo_with_image(chat(model, [{"role": "user", "content": parts}]).choices[0].message.content)


@promise()
def texts_are_embedded():
    # The SDK asks for base64 by itself.
    answer = client().embeddings.create(model=EMBEDDER, input=["one", "two"])
    assert [row.index for row in answer.data] == [0, 1] and answer.usage.prompt_tokens > 0
    floats = client().embeddings.create(model=EMBEDDER, input=["one", "two"], encoding_format="float")
    for row, plain in zip(answer.data, floats.data, strict=True):
        assert len(row.embedding) == len(plain.embedding) > 1
        assert all(abs(a - b) < 1e-6 for a, b in zip(row.embedding, plain.embedding)), (row, plain)


def ask_chat(model, text, key="good", **options):
    return client(key).chat.completions.create(model=model, messages=user(text), **options)


def ask_responses(model, text, key="good", **options):
    return client(key).responses.create(model=model, input=text, store=False, **options)


BOTH = [ask_chat, ask_responses]
for ask in BOTH:
    ask.name = ask.__name__.removeprefix("ask_")


@promise(BOTH, MODELS)
def a_wrong_key_is_refused(ask, model):
    assert raised(openai.AuthenticationError, lambda: ask(model, "Hello", key="nonsense")).code == "invalid_api_key"


@promise(BOTH)
def a_model_that_is_not_there_is_not_found(ask):
    assert raised(openai.NotFoundError, lambda: ask(UNKNOWN, "Hello")).code == "model_not_found"


@promise(BOTH, MODELS, [False, True])
def the_providers_failures_have_their_classes(ask, model, stream):
    error = raised(openai.RateLimitError, lambda: ask(model, provider_fails(429), stream=stream))
    assert error.request_id.startswith("req_"), error.body
    error = raised(openai.InternalServerError, lambda: ask(model, provider_fails(500), stream=stream))
    assert error.status_code in (500, 502) and error.type, error.body
    error = raised(openai.BadRequestError, lambda: ask(model, provider_fails(400), stream=stream))
    assert error.type == "provider_error", error.body


@promise(BOTH, MODELS)
def who_leaves_in_the_middle_is_noticed(ask, model):
    stream = ask(model, SLOWLY, stream=True)
    identity = stream.response.headers["x-request-id"]
    for event in stream:
        if getattr(event, "choices", None) and event.choices[0].delta.content:
            break
        if getattr(event, "type", None) == "response.output_text.delta":
            break
    stream.close()
    was_left(identity)


# Responses with every dialect behind it.


RESPONSE_TOOLS = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather",
        "parameters": WEATHER_SCHEMA,
        "strict": True,
    }
]


def respond(model, given, **options):
    return client().responses.create(model=model, input=given, store=False, **options)


def after(given, response):
    """The conversation after each function call of the response was carried out."""
    given = user(given) if isinstance(given, str) else given
    calls = [item for item in response.output if item.type == "function_call"]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": weather(json.loads(call.arguments)["city"])}
        for call in calls
    ]
    return [*given, *response.output, *results]


def cities(response):
    return [json.loads(item.arguments)["city"] for item in response.output if item.type == "function_call"]


@promise(MODELS)
def a_response_is_given(model):
    given = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "Somebody."}, *HELLO]
    answer = respond(model, given, instructions="Be brief.", max_output_tokens=100, temperature=0.5)
    is_echo(answer.output_text)
    assert answer.status == "completed" and answer.model == model and answer.store is False, answer
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


@promise(MODELS)
def the_events_of_a_response_are_in_order(model):
    whole = respond(model, "Hello there").output_text
    events = list(respond(model, "Hello there", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed", kinds
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole == events[-1].response.output_text, (text, whole)
    for kind in [
        "output_item.added",
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]:
        assert f"response.{kind}" in kinds, kinds
    assert events[-1].response.usage.output_tokens > 0


@promise(MODELS)
def a_function_is_called_and_its_result_answered(model):
    first = respond(model, WEATHER, tools=RESPONSE_TOOLS)
    assert cities(first) == ["Paris"], first.output
    second = respond(model, after(WEATHER, first), tools=RESPONSE_TOOLS)
    are_results(second.output_text, "Paris")


@promise(MODELS)
def functions_are_called_side_by_side_and_in_pieces(model):
    with client().responses.stream(model=model, input=TWO_CITIES, tools=RESPONSE_TOOLS, store=False) as stream:
        done = [event for event in stream if event.type == "response.function_call_arguments.done"]
        first = stream.get_final_response()
    assert [json.loads(event.arguments)["city"] for event in done] == ["Paris", "Oslo"] == cities(first), done
    second = respond(model, after(TWO_CITIES, first), tools=RESPONSE_TOOLS)
    are_results(second.output_text, "Paris", "Oslo")


@promise(MODELS)
def a_conversation_with_functions_and_thoughts_goes_on(model):
    options = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    given, thoughts = user(TWO_STEPS), ""
    for expected in ["Rome", "Oslo"]:
        answer = respond(model, given, tools=RESPONSE_TOOLS, **options)
        assert cities(answer) == [expected], answer.output
        thoughts += "".join(part.text for item in answer.output if item.type == "reasoning" for part in item.summary)
        given = after(given, answer)
    are_results(respond(model, given, tools=RESPONSE_TOOLS, **options).output_text, "Rome", "Oslo")
    are_thoughts(model, thoughts)


@promise(MODELS)
def a_response_has_the_shape_that_was_asked_for(model):
    answer = client().responses.parse(model=model, input="Tell me about Paris", text_format=City, store=False)
    assert isinstance(answer.output_parsed, City), answer.output


@promise(MODELS)
def a_response_sees_an_image(model):
    parts = [
        {"type": "input_text", "text": "Hello there"},
        {"type": "input_image", "image_url": PNG_URI, "detail": "auto"},
    ]
    is_echo_with_image(respond(model, [{"role": "user", "content": parts}]).output_text)


@promise(MODELS)
def a_response_that_is_kept_elsewhere_cannot_be_gone_on_with(model):
    error = raised(openai.BadRequestError, lambda: respond(model, "Hello", previous_response_id="resp_123"))
    assert error.param == "previous_response_id", error.body


run()
