"""The terminal program llm against a running Tollgate: through Chat Completions and Responses, and with its plugin for
Anthropic, each with models behind every dialect.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

from harness import BASE, HELLO, KEY, MODELS, PNG, SLOWLY, TWO_CITIES, UNKNOWN, WEATHER
from harness import is_echo, is_echo_with_image, promise, provider_fails, run, weather

LLM = Path(sys.executable).parent / "llm"
FUNCTIONS = """
def get_weather(city: str) -> str:
    "The weather in a city"
    return f"It rains in {city}"
"""
FOLDER = tempfile.TemporaryDirectory(prefix="tollgate-llm-")
HOME = Path(FOLDER.name)
OPENAI_WAYS = ["chat", "responses"]
WAYS = [*OPENAI_WAYS, "anthropic"]


def environment(way, home):
    """The plugin is loaded only where it is wanted, as that takes a second each time."""
    mine = {"LLM_USER_PATH": str(home), "ANTHROPIC_BASE_URL": BASE, "ANTHROPIC_API_KEY": KEY}
    return {**os.environ, **mine, **({} if way == "anthropic" else {"LLM_LOAD_PLUGINS": ""})}


@contextmanager
def home_of_its_own():
    """The program writes every talk into a database, which two at a time lock each other out of."""
    with tempfile.TemporaryDirectory(prefix="tollgate-llm-") as folder:
        yield shutil.copytree(HOME, Path(folder) / "home")


def llm(way, *arguments, typed="", home=None):
    """Runs the program to its end."""
    with nullcontext(home) if home else home_of_its_own() as home:
        return subprocess.run(
            [LLM, *arguments], input=typed, env=environment(way, home), capture_output=True, text=True, timeout=120
        )


def said(way, *arguments, **more):
    """What the program says when all is well."""
    ended = llm(way, *arguments, **more)
    assert ended.returncode == 0, ended
    return ended.stdout.strip()


def settle_in():
    """Tells the program of the gateway's models, as its manual says."""
    rows = [
        f"- model_id: {way}/{model}\n  model_name: {model}\n  api_base: {BASE}/v1\n  api_key_name: tollgate\n"
        "  supports_tools: true\n  supports_schema: true\n  vision: true\n"
        f"  responses: {str(way == 'responses').lower()}\n"
        for way in OPENAI_WAYS
        for model in [*MODELS, UNKNOWN]
    ]
    (HOME / "extra-openai-models.yaml").write_text("".join(rows))
    (HOME / "keys.json").write_text(json.dumps({"tollgate": KEY}))
    (HOME / "image.png").write_bytes(PNG)

    # From now on the plugin knows the models by what the gateway says that they can do.
    answer = said("anthropic", "anthropic", "refresh", home=HOME)
    assert all(model in answer for model in MODELS), answer


@promise()
def models_are_listed():
    assert set(MODELS) <= {line.split(":")[0] for line in said("anthropic", "anthropic", "models").splitlines()}


@promise(WAYS, MODELS)
def a_conversation_goes_on(way, model):
    typed = f"{HELLO}\n{WEATHER}\n{TWO_CITIES}\nSo long\nquit\n"
    answer = said(way, "chat", "-m", f"{way}/{model}", "-s", "Be brief.", "--functions", FUNCTIONS, typed=typed)
    turns = [turn.strip() for turn in answer.removesuffix(">").split("\n> ")[1:]]
    assert len(turns) == 4, answer
    is_echo(turns[0])
    assert turns[1].endswith(f"results: {weather('Paris')}"), answer
    assert turns[2].endswith(f"results: {weather('Paris')} | {weather('Oslo')}"), answer
    is_echo(turns[3], "So long")


@promise(WAYS, MODELS)
def an_answer_has_the_shape_that_was_asked_for(way, model):
    answer = said(
        way, "-m", f"{way}/{model}", "--schema", "name, population int, is_capital bool", "Tell me about Paris"
    )
    assert json.loads(answer) == {"name": "toll", "population": 1, "is_capital": True}, answer


@promise(WAYS, MODELS)
def an_image_is_seen(way, model):
    is_echo_with_image(said(way, "-m", f"{way}/{model}", "--no-stream", "-a", HOME / "image.png", HELLO))


@promise(WAYS)
def refusals_are_shown(way):
    model = MODELS[0]
    for name, more, words in [
        (model, ["--key", "nonsense", HELLO], "401"),
        (UNKNOWN, [HELLO], "404"),
        (model, [provider_fails(400)], "400"),
    ]:
        if way == "anthropic" and name == UNKNOWN:
            continue  # It asks only for models that the gateway told it of.
        ended = llm(way, "-m", f"{way}/{name}", *more)
        assert ended.returncode == 1 and words in ended.stderr, ended


@promise(WAYS)
def who_leaves_in_the_middle_is_let_go(way):
    command = [LLM, "-m", f"{way}/{MODELS[0]}", SLOWLY]
    pipe = subprocess.PIPE
    with home_of_its_own() as home:
        with subprocess.Popen(command, env=environment(way, home), stdout=pipe, stderr=pipe) as program:
            beginning = program.stdout.read(4)
            program.send_signal(signal.SIGINT)
            rest, _ = program.communicate(timeout=30)
    assert beginning == b"w0 w" and b"w99" not in rest and program.returncode != 0, (
        beginning,
        rest,
        program.returncode,
    )
    is_echo(said(way, "-m", f"{way}/{MODELS[0]}", HELLO))


settle_in()
run(workers=2)
