"""The official OpenAI SDK for Python against a running Tollgate: what its users rely on, seen with their eyes.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

import json
import os
import sys
import traceback

import openai
from openai import OpenAI

BASE = os.environ["TOLLGATE_BASE_URL"]
MODEL = os.environ["TOLLGATE_MODEL"]
KEYS = json.loads(os.environ["TOLLGATE_KEYS"])  # by what is special about each: good, empty, budget, rate
HELLO = [{"role": "user", "content": "Hello there"}]


def client(key="good", **options):
    return OpenAI(base_url=f"{BASE}/v1", api_key=KEYS.get(key, key), max_retries=0, timeout=30, **options)


def raised(kind, call):
    try:
        call()
    except kind as error:
        assert type(error) is kind or kind is openai.APIStatusError, f"{type(error)} is not {kind}"
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def chat_answers():
    answer = client().chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL, answer.model
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.cost > 0 and answer.usage.is_byok is False
    assert answer._request_id.startswith("req_")


def a_stream_without_usage_has_none():
    text, finish = "", None
    for chunk in client().chat.completions.create(model=MODEL, messages=HELLO, stream=True):
        assert chunk.usage is None, chunk
        assert chunk.model == MODEL, chunk.model
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text and finish == "stop"


def a_stream_with_usage_ends_in_it():
    options = {"include_usage": True}
    chunks = list(client().chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=options))
    last = chunks[-1]
    assert last.choices == [] and last.usage.total_tokens > 0 and last.usage.cost > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def the_stream_helper_folds():
    with client().chat.completions.stream(model=MODEL, messages=HELLO) as stream:
        for _ in stream:
            pass
        whole = stream.get_final_completion()
    assert whole.choices[0].message.content


def models_are_listed():
    ids = [model.id for model in client().models.list()]
    assert MODEL in ids, ids
    assert client().models.retrieve(MODEL).id == MODEL


def a_wrong_key_is_an_authentication_error():
    for key in ["nonsense", KEYS["good"][:-1] + ("a" if KEYS["good"][-1] != "a" else "b")]:
        error = raised(openai.AuthenticationError, lambda: client(key).chat.completions.create(model=MODEL, messages=HELLO))
        assert error.code == "invalid_api_key" and error.type == "authentication_error", error.body
        assert error.request_id.startswith("req_")


def an_unknown_model_is_not_found():
    error = raised(openai.NotFoundError, lambda: client().chat.completions.create(model="nobody/nothing", messages=HELLO))
    assert error.code == "model_not_found" and error.type == "invalid_request_error", error.body


def a_malformed_body_is_a_bad_request():
    error = raised(openai.BadRequestError, lambda: client().chat.completions.create(model=MODEL, messages="not a list"))
    assert error.type == "invalid_request_error" and error.param == "messages", error.body
    error = raised(
        openai.BadRequestError,
        lambda: client().chat.completions.create(model=MODEL, messages=HELLO, extra_body={"stream": "yes"}),
    )
    assert error.param == "stream", error.body


def a_body_over_the_limit_is_refused():
    huge = [{"role": "user", "content": "x" * (33 << 20)}]
    error = raised(openai.APIStatusError, lambda: client().chat.completions.create(model=MODEL, messages=huge))
    assert error.status_code == 413 and error.type == "invalid_request_error", error.body


def empty_credits_say_so():
    error = raised(openai.APIStatusError, lambda: client("empty").chat.completions.create(model=MODEL, messages=HELLO))
    assert error.status_code == 402 and error.code == "insufficient_quota", error.body
    assert error.response.headers["x-should-retry"] == "false"


def a_used_up_budget_is_a_permission_error():
    spender = client("budget")

    def spend():
        for _ in range(200):
            spender.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=50)

    error = raised(openai.PermissionDeniedError, spend)
    assert error.code == "key_limit_exceeded" and error.type == "permission_error", error.body


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


def a_client_that_leaves_is_not_an_error():
    stream = client().chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    chat_answers()


PROMISES = [value for name, value in list(globals().items()) if callable(value) and getattr(value, "__module__", "") == "__main__" and name not in ("client", "raised")]

failed = 0
for promise in PROMISES:
    try:
        promise()
        print(f"ok   {promise.__name__}")
    except Exception:
        failed += 1
        print(f"FAIL {promise.__name__}\n{traceback.format_exc()}")
print(f"{len(PROMISES) - failed} passed, {failed} failed")
sys.exit(1 if failed else 0)
