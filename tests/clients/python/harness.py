"""What the scripts of this folder share: where the gateway is, the words that its strict fake provider understands,
and the runner. A script names its promises as functions; the runner says of each whether it was kept, one line each
model and variant, and ends with "N passed, N failed". Words after the script's name choose promises by their lines.

TOLLGATE_BASE_URL is the gateway without /v1, TOLLGATE_KEYS a JSON object of keys by what is special about each (the
ordinary one is "good"), TOLLGATE_MODELS a JSON list of models, each behind another dialect.
"""

import base64
import importlib
import itertools
import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

BASE = os.environ["TOLLGATE_BASE_URL"]
KEYS = json.loads(os.environ["TOLLGATE_KEYS"])
MODELS = json.loads(os.environ["TOLLGATE_MODELS"])
KEY = KEYS["good"]
EMBEDDER = "strict/embed"
# Embeddings are not translated: Google's clients ask a model behind their own dialect.
GEMINI_EMBEDDER = "strict/embed-gemini"
UNKNOWN = "strict/missing"

HELLO = "Hello there"
# What the fake answers with a call of the tool, or with two side by side, and then with what the tools said.
WEATHER = 'Please call get_weather({"city":"Paris"}) for me'
TWO_CITIES = 'Please call get_weather({"city":"Paris"}) and call get_weather({"city":"Oslo"}) for me'
TWO_STEPS = 'Please call get_weather({"city":"Rome"}) for me'
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of the city"}},
    "required": ["city"],
    "additionalProperties": False,
}
# So many milliseconds between the pieces of so many words: long enough to leave in the middle.
SLOWLY = "!slow 100 !long 100"


# Two times two pixels of one colour.
PNG_BASE64 = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGM4IScHRAwQCgAfJgQRoo8irwAAAABJRU5ErkJggg=="
PNG = base64.b64decode(PNG_BASE64)
PNG_URI = f"data:image/png;base64,{PNG_BASE64}"


# Models whose providers show what they think; the fake thinks "thinking about: …" when it is asked to.
THINKERS = [model for model in MODELS if model != "strict/openai-chat"]


def provider_fails(status):
    """A request that the provider answers with this status."""
    return f"!error {status}"


def weather(city):
    """The tool that the fake is asked to call. In Rome it sends on to another city, which takes another step."""
    return f"It rains in {city}" + (' then call get_weather({"city":"Oslo"})' if city == "Rome" else "")


def are_thoughts(model, text):
    """Whether the caller sees what the provider thought, if it is one that shows it."""
    assert ("thinking about: " in text) == (model in THINKERS), (model, text)


def are_results(text, *cities):
    """Whether the answer is what the tool said of these cities since the last words of the caller."""
    assert text == "results: " + " | ".join(weather(city) for city in cities), text


def is_echo(text, words=HELLO):
    """Whether the answer is the fake's echo of the caller's words."""
    assert text == f"you said: {words}", text


def is_echo_with_image(text, words=HELLO):
    """Whether the fake also saw the picture."""
    is_echo(text, f"{words} [image image/png {len(PNG)} bytes]")


def raised(kind, call, is_exact=True):
    """The error of the call, which must be of this very class, or at least of its kind."""
    try:
        call()
    except kind as error:
        assert type(error) is kind or not is_exact, f"{type(error)} is not {kind}: {error}"
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def generation(identity, key=KEY):
    """The record of a request by its id or its answer's, which must be there soon."""
    request = urllib.request.Request(f"{BASE}/v1/generation?id={identity}", headers={"authorization": f"Bearer {key}"})
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code != 404 or time.monotonic() > deadline:
                raise AssertionError(f"no record of {identity}: {error.read().decode()}") from error
        time.sleep(0.1)


def was_left(identity):
    """The gateway noticed that the caller had gone, and ended the provider's work."""
    record = generation(identity)
    assert record["cancelled"] is True, record


class LastRequest:
    """Knows the id of the last request that was answered, for clients that do not show it to their caller."""

    def __init__(self):
        self.identity = None
        for library in ["httpx", "httpx2"]:
            try:
                module = importlib.import_module(library)
            except ImportError:
                continue
            self._watch(module.Client)
            self._watch_async(module.AsyncClient)

    def _watch(self, client):
        send = client.send

        def watched(*arguments, **options):
            return self._note(send(*arguments, **options))

        client.send = watched

    def _watch_async(self, client):
        send = client.send

        async def watched(*arguments, **options):
            return self._note(await send(*arguments, **options))

        client.send = watched

    def _note(self, answer):
        self.identity = answer.headers.get("x-request-id")
        return answer


_promises = []


def promise(*axes, unless=lambda *values: False):
    """Says that the function is a promise, to be kept for every combination of these values but those left out."""

    def register(check):
        _promises.append((check, axes, unless))
        return check

    return register


def _keep(check, values):
    """Keeps one promise; what became of it, and how long it took."""
    started = time.monotonic()
    try:
        check(*values)
    except BaseException as error:  # a client may call sys.exit
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error, limit=-3, chain=False)), 0.0
    return None, time.monotonic() - started


def run(workers=1):
    """Keeps every promise, or says which were not; so many at a time."""
    chosen = sys.argv[1:]
    lines = []
    for check, axes, unless in _promises:
        for values in (values for values in itertools.product(*axes) if not unless(*values)):
            names = " ".join(str(getattr(value, "name", value)) for value in values)
            line = f"{check.__name__} [{names}]" if names else check.__name__
            if all(word in line for word in chosen):
                lines.append((line, check, values))
    failed = 0
    with ThreadPoolExecutor(workers) as pool:
        # One at a time stays on this thread, where a client may expect to be.
        keep = pool.map if workers > 1 else map
        kept = keep(lambda entry: _keep(*entry[1:]), lines)
        for (line, _, _), (wrong, took) in zip(lines, kept, strict=True):
            failed += wrong is not None
            print(f"FAIL {line}\n{wrong}" if wrong else f"ok   {line} {took:.1f} s", flush=True)
    print(f"{len(lines) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not lines else 0)
