"""The terminal program aider, which asks through litellm, against a running Tollgate: as OpenAI's and as Anthropic's
API, each with models behind every dialect.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import BASE, HELLO, KEY, MODELS, PNG, SLOWLY, UNKNOWN, promise, provider_fails, run

AIDER = Path(sys.executable).parent / "aider"
FOLDER = tempfile.TemporaryDirectory(prefix="tollgate-aider-")
# The fake says it again, and with that proposes the edit.
EDIT = """Please say good bye:

greeting.py
```
print("good bye")
```
"""
WAYS = ["openai", "anthropic"]


def workplace():
    """A folder with a program to be edited, a picture, and what aider should know of the models."""
    folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
    (folder / "greeting.py").write_text('print("hello")\n')
    (folder / "image.png").write_bytes(PNG)
    about = {"max_input_tokens": 100_000, "max_output_tokens": 4000, "mode": "chat", "supports_vision": True}
    # Without this it would ask a server elsewhere.
    models = {f"{way}/{model}": {"litellm_provider": way, **about} for way in WAYS for model in [*MODELS, UNKNOWN]}
    (folder / "models.json").write_text(json.dumps(models))
    return folder


def command(way, model, folder, *arguments):
    name = f"{way}/{model}"
    return [
        *[AIDER, "--model", name, "--weak-model", name, "--model-metadata-file", folder / "models.json"],
        *["--no-git", "--yes-always", "--no-check-update", "--analytics-disable", "--no-show-release-notes"],
        *["--no-show-model-warnings", "--no-pretty", "--no-fancy-input", "--no-detect-urls", "--map-tokens", "0"],
        *["--edit-format", "whole", "--timeout", "30", *arguments],
    ]


def environment(folder, key):
    mine = {
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_BASE": f"{BASE}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_API_BASE": BASE,
        "ANTHROPIC_API_KEY": key,
    }
    return {**os.environ, **mine}


def aider(way, model, *arguments, folder=None, key=KEY):
    """Runs the program to its end; all that it said."""
    folder = folder or workplace()
    options = {"cwd": folder, "env": environment(folder, key), "capture_output": True, "text": True}
    ended = subprocess.run(command(way, model, folder, *arguments), stdin=subprocess.DEVNULL, timeout=120, **options)
    return ended.stdout + ended.stderr


@promise(WAYS, MODELS)
def a_session_talks_sees_and_edits(way, model):
    folder = workplace()
    (folder / "commands").write_text(f"/ask {HELLO}\n/add image.png\n/ask What is this?\n/drop image.png\n")
    said = aider(way, model, "--load", "commands", "--message", EDIT, "greeting.py", folder=folder)
    assert f"you said: {HELLO}" in said, said
    # It shows the picture in a turn of its own, before the question; the fake tells only of the last turn's.
    assert "you said: What is this?" in said, said
    assert "Applied edit to greeting.py" in said, said
    assert (folder / "greeting.py").read_text() == 'print("good bye")\n', said
    assert "sent" in said and "received" in said, said


@promise(WAYS, MODELS)
def a_whole_answer_edits(way, model):
    folder = workplace()
    said = aider(way, model, "--no-stream", "--message", EDIT, "greeting.py", folder=folder)
    assert (folder / "greeting.py").read_text() == 'print("good bye")\n', said


@promise(WAYS)
def refusals_are_shown(way):
    message = ["--message", f"/ask {HELLO}"]
    assert "AuthenticationError" in aider(way, MODELS[0], *message, key="nonsense")
    assert "NotFoundError" in aider(way, UNKNOWN, *message)
    assert "BadRequestError" in aider(way, MODELS[0], "--message", f"/ask please {provider_fails(400)}")


@promise(WAYS)
def who_leaves_in_the_middle_is_let_go(way):
    folder = workplace()
    program = subprocess.Popen(
        command(way, MODELS[0], folder, "--message", f"/ask please {SLOWLY}"),
        cwd=folder,
        env=environment(folder, KEY),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    with program:
        said = ""
        while "w0 w1" not in said:
            piece = os.read(program.stdout.fileno(), 4096).decode()
            assert piece, said
            said += piece
        program.send_signal(signal.SIGINT)
        said += program.communicate(timeout=60)[0]
    assert "w99" not in said, said
    assert f"you said: {HELLO}" in aider(way, MODELS[0], "--message", f"/ask {HELLO}")


run(workers=2)
