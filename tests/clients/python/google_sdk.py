"""The official Google Gen AI SDK for Python against a running Tollgate, with models behind every dialect.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from harness import BASE, GEMINI_EMBEDDER, HELLO, KEY, MODELS, PNG, SLOWLY, TWO_CITIES, TWO_STEPS, UNKNOWN, WEATHER
from harness import WEATHER_SCHEMA, are_results, are_thoughts, is_echo, is_echo_with_image, promise, provider_fails
from harness import raised, run, was_left, weather

DECLARATION = types.FunctionDeclaration(
    name="get_weather",
    description="The weather",
    parameters=types.Schema(
        type="OBJECT",
        properties={"city": types.Schema(type="STRING", description="Name of the city")},
        required=["city"],
    ),
)
BY_JSON_SCHEMA = types.FunctionDeclaration(
    name="get_weather", description="The weather", parameters_json_schema=WEATHER_SCHEMA
)
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


class City(BaseModel):
    name: str
    population: int
    districts: list[str]


def client(key=KEY, version=None):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=BASE, timeout=30_000, api_version=version))


def generate(model, contents, version=None, **config):
    with client(version=version) as google:
        return google.models.generate_content(
            model=model, contents=contents, config=types.GenerateContentConfig(**config)
        )


def with_tools(declaration=DECLARATION, **more):
    return {"tools": [types.Tool(function_declarations=[declaration])], "automatic_function_calling": BY_HAND, **more}


def user(text):
    return [types.Content(role="user", parts=[types.Part(text=text)])]


def after(contents, answer):
    """The conversation after each function of the answer was called."""
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"result": weather(call.args["city"])}
            )
        )
        for call in answer.function_calls
    ]
    return [*contents, answer.candidates[0].content, types.Content(role="user", parts=results)]


def cities(answer):
    return [call.args["city"] for call in answer.function_calls or []]


def thoughts_of(answer):
    return "".join(part.text or "" for part in answer.candidates[0].content.parts if part.thought)


# The newest SDK asks for v1 where it is not told otherwise, older ones for v1beta.
@promise(MODELS, ["v1", "v1beta"])
def a_conversation_is_answered(model, version):
    contents = [*user("Who are you?"), types.Content(role="model", parts=[types.Part(text="Somebody.")]), *user(HELLO)]
    answer = generate(
        model,
        contents,
        version,
        system_instruction="Be brief.",
        temperature=0.5,
        max_output_tokens=100,
        stop_sequences=["THE END"],
    )
    is_echo(answer.text)
    assert (
        answer.candidates[0].finish_reason == types.FinishReason.STOP and answer.candidates[0].content.role == "model"
    )
    assert answer.model_version == model and answer.response_id, answer
    usage = answer.usage_metadata
    assert usage.prompt_token_count > 0 and usage.candidates_token_count > 0, usage
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count, usage


@promise(MODELS, ["v1", "v1beta"])
def a_stream_says_the_same_as_the_whole_answer(model, version):
    whole = generate(model, HELLO).text
    with client(version=version) as google:
        chunks = list(google.models.generate_content_stream(model=model, contents=HELLO))
    assert "".join(chunk.text or "" for chunk in chunks) == whole, chunks
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP, chunks[-1]
    assert chunks[-1].usage_metadata.candidates_token_count > 0, chunks[-1]
    assert all(chunk.model_version == model for chunk in chunks), chunks


@promise(MODELS)
def a_chat_keeps_its_history(model):
    with client() as google:
        chat = google.chats.create(model=model)
        is_echo(chat.send_message("First").text, "First")
        is_echo("".join(chunk.text or "" for chunk in chat.send_message_stream("Second")), "Second")
        assert len(chat.get_history()) >= 4, chat.get_history()


@promise(MODELS)
def a_function_is_called_and_its_result_answered(model):
    for declaration in [DECLARATION, BY_JSON_SCHEMA]:
        first = generate(model, WEATHER, **with_tools(declaration))
        [call] = first.function_calls
        assert call.name == "get_weather" and call.args == {"city": "Paris"}, call
        # Whoever asks again on another reason than this stops its loop.
        assert first.candidates[0].finish_reason == types.FinishReason.STOP, first
        second = generate(model, after(user(WEATHER), first), **with_tools(declaration))
        are_results(second.text, "Paris")


@promise(MODELS)
def functions_are_called_side_by_side(model):
    first = generate(model, TWO_CITIES, **with_tools())
    assert cities(first) == ["Paris", "Oslo"], first
    are_results(generate(model, after(user(TWO_CITIES), first), **with_tools()).text, "Paris", "Oslo")


@promise(MODELS)
def function_calls_stream(model):
    config = types.GenerateContentConfig(**with_tools())
    with client() as google:
        chunks = list(google.models.generate_content_stream(model=model, contents=TWO_CITIES, config=config))
    assert [city for chunk in chunks for city in cities(chunk)] == ["Paris", "Oslo"], chunks
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP, chunks[-1]


@promise(MODELS)
def functions_of_python_are_called_by_the_sdk(model):
    asked = []

    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return weather(city)

    answer = generate(model, TWO_STEPS, tools=[get_weather])
    assert asked == ["Rome", "Oslo"], asked
    are_results(answer.text, "Rome", "Oslo")


@promise(MODELS)
def a_function_can_be_forced_and_forbidden(model):
    def mode(name):
        return types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=name))

    answer = generate(model, HELLO, **with_tools(tool_config=mode("ANY")))
    assert [call.name for call in answer.function_calls] == ["get_weather"], answer
    answer = generate(model, WEATHER, **with_tools(tool_config=mode("NONE")))
    assert not answer.function_calls and answer.text, answer


@promise(MODELS)
def a_conversation_with_functions_and_thoughts_goes_on(model):
    options = with_tools(thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2000))
    contents, thoughts = user(TWO_STEPS), ""
    for expected in ["Rome", "Oslo"]:
        answer = generate(model, contents, **options)
        assert cities(answer) == [expected], answer
        thoughts += thoughts_of(answer)
        contents = after(contents, answer)
    are_results(generate(model, contents, **options).text, "Rome", "Oslo")
    are_thoughts(model, thoughts)


@promise(MODELS)
def an_answer_has_the_shape_that_was_asked_for(model):
    json_type = "application/json"
    answer = generate(model, "Tell me about Paris", response_mime_type=json_type, response_schema=City)
    assert isinstance(answer.parsed, City), answer
    schema = City.model_json_schema()
    answer = generate(model, "And Oslo", response_mime_type=json_type, response_json_schema=schema)
    City.model_validate_json(answer.text)


@promise(MODELS)
def an_image_is_seen(model):
    answer = generate(model, [types.Part.from_text(text=HELLO), types.Part.from_bytes(data=PNG, mime_type="image/png")])
    is_echo_with_image(answer.text)


@promise()
def texts_are_embedded():
    with client() as google:
        # Bare texts would be the parts of one content.
        contents = [types.Content(role="user", parts=[types.Part.from_text(text=text)]) for text in ("one", "two")]
        answer = google.models.embed_content(model=GEMINI_EMBEDDER, contents=contents)
        again = google.models.embed_content(model=GEMINI_EMBEDDER, contents="two")
    assert len(answer.embeddings) == 2 and len(answer.embeddings[0].values) > 1, answer
    assert again.embeddings[0].values == answer.embeddings[1].values != answer.embeddings[0].values


@promise(MODELS)
def tokens_are_counted(model):
    with client() as google:
        short = google.models.count_tokens(model=model, contents=HELLO).total_tokens
        long = google.models.count_tokens(model=model, contents=HELLO * 100).total_tokens
    assert 0 < short < long, (short, long)


@promise(["v1", "v1beta"])
def models_are_listed(version):
    with client(version=version) as google:
        names = [row.name for row in google.models.list()]
        for model in MODELS:
            assert f"models/{model}" in names, names
            assert google.models.get(model=model).name == f"models/{model}"


@promise(MODELS)
def a_wrong_key_is_refused(model):
    with client("nonsense") as google:
        error = raised(errors.ClientError, lambda: google.models.generate_content(model=model, contents=HELLO))
    assert (error.code, error.status) == (401, "UNAUTHENTICATED"), error.details


@promise()
def a_model_that_is_not_there_is_not_found():
    error = raised(errors.ClientError, lambda: generate(UNKNOWN, HELLO))
    assert (error.code, error.status) == (404, "NOT_FOUND"), error.details


def streamed(model, contents):
    with client() as google:
        return list(google.models.generate_content_stream(model=model, contents=contents))


generate.name, streamed.name = "whole", "stream"


@promise(MODELS, [generate, streamed])
def the_providers_failures_have_their_classes(model, ask):
    error = raised(errors.ClientError, lambda: ask(model, provider_fails(429)))
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED"), error.details
    error = raised(errors.ServerError, lambda: ask(model, provider_fails(500)))
    assert error.code in (500, 502) and error.status in ("INTERNAL", "UNAVAILABLE"), error.details
    error = raised(errors.ClientError, lambda: ask(model, provider_fails(400)))
    assert (error.code, error.status) == (400, "INVALID_ARGUMENT"), error.details


@promise(MODELS)
def who_leaves_in_the_middle_is_noticed(model):
    with client() as google:
        stream = google.models.generate_content_stream(model=model, contents=SLOWLY)
        identity = next(stream).sdk_http_response.headers["x-request-id"]
        stream.close()
    was_left(identity)


run()
