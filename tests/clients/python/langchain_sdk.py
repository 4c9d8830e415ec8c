"""LangChain's chat models for OpenAI (Chat Completions and Responses), Anthropic and Google against a running Tollgate,
each with models behind every dialect.

Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.
"""

from langchain_anthropic import ChatAnthropic
from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelRateLimitError,
)
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from harness import (
    BASE,
    EMBEDDER,
    GEMINI_EMBEDDER,
    HELLO,
    KEY,
    LastRequest,
    MODELS,
    PNG_BASE64,
    SLOWLY,
    TWO_CITIES,
    TWO_STEPS,
    UNKNOWN,
    WEATHER,
)
from harness import are_results, are_thoughts, is_echo, is_echo_with_image, promise, provider_fails, raised, run
from harness import was_left
from harness import weather as told


class City(BaseModel):
    """A city."""

    name: str
    population: int
    districts: list[str]


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return told(city)


def chat(model, key=KEY, thinks=False):
    return ChatOpenAI(
        model=model,
        base_url=f"{BASE}/v1",
        api_key=key,
        max_retries=0,
        timeout=30,
        use_responses_api=False,
        stream_usage=True,
        **({"reasoning_effort": "low"} if thinks else {}),
    )


def responses(model, key=KEY, thinks=False):
    reasoning = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    return ChatOpenAI(
        model=model,
        base_url=f"{BASE}/v1",
        api_key=key,
        max_retries=0,
        timeout=30,
        use_responses_api=True,
        output_version="responses/v1",
        store=False,
        **(reasoning if thinks else {}),
    )


def anthropic(model, key=KEY, thinks=False):
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    return ChatAnthropic(
        model=model,
        base_url=BASE,
        api_key=key,
        max_retries=0,
        timeout=30,
        max_tokens=4000,
        **(thinking if thinks else {}),
    )


def google(model, key=KEY, thinks=False):
    thinking = {"include_thoughts": True, "thinking_budget": 2000}
    return ChatGoogleGenerativeAI(
        model=model, base_url=BASE, api_key=key, max_retries=1, timeout=30, **(thinking if thinks else {})
    )


last_request = LastRequest()
FAMILIES = [chat, responses, anthropic, google]
for family in FAMILIES:
    family.name = family.__name__


def folded(chunks):
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    return whole


def after(messages, answer):
    """The conversation after each tool of the answer was called."""
    return [*messages, answer, *[get_weather.invoke(call) for call in answer.tool_calls]]


def cities(answer):
    return [call["args"]["city"] for call in answer.tool_calls]


@promise(FAMILIES, MODELS)
def a_conversation_is_answered(family, model):
    messages = [SystemMessage("Be brief."), HumanMessage("Who are you?"), AIMessage("Somebody."), HumanMessage(HELLO)]
    answer = family(model).invoke(messages)
    is_echo(answer.text)
    usage = answer.usage_metadata
    assert usage["input_tokens"] > 0 and usage["output_tokens"] > 0, usage
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], usage


@promise(FAMILIES, MODELS)
def a_stream_says_the_same_as_the_whole_answer(family, model):
    chunks = list(family(model).stream(HELLO))
    assert len(chunks) > 1, chunks
    assert folded(chunks).text == family(model).invoke(HELLO).text, chunks
    assert folded(chunks).usage_metadata["output_tokens"] > 0, folded(chunks)


@promise(FAMILIES, MODELS)
def tools_are_called_and_their_results_answered(family, model):
    bound = family(model).bind_tools([get_weather])
    for text, expected in [(WEATHER, ["Paris"]), (TWO_CITIES, ["Paris", "Oslo"])]:
        messages = [HumanMessage(text)]
        first = bound.invoke(messages)
        assert cities(first) == expected and len({call["id"] for call in first.tool_calls}) == len(expected), first
        are_results(bound.invoke(after(messages, first)).text, *expected)


@promise(FAMILIES, MODELS)
def tool_calls_stream_in_pieces(family, model):
    bound = family(model).bind_tools([get_weather])
    messages = [HumanMessage(TWO_CITIES)]
    first = folded(bound.stream(messages))
    assert cities(first) == ["Paris", "Oslo"], first
    are_results(folded(bound.stream(after(messages, first))).text, "Paris", "Oslo")


@promise(FAMILIES, MODELS)
def a_tool_can_be_forced(family, model):
    answer = family(model).bind_tools([get_weather], tool_choice="get_weather").invoke(HELLO)
    assert [call["name"] for call in answer.tool_calls] == ["get_weather"], answer


@promise(FAMILIES, MODELS)
def a_conversation_with_tools_and_thoughts_goes_on(family, model):
    bound = family(model, thinks=True).bind_tools([get_weather])
    messages, thoughts = [HumanMessage(TWO_STEPS)], ""
    for expected in ["Rome", "Oslo"]:
        answer = bound.invoke(messages)
        assert cities(answer) == [expected], answer
        blocks = [block for block in answer.content_blocks if block["type"] == "reasoning"]
        thoughts += "".join(block.get("reasoning", "") for block in blocks)
        messages = after(messages, answer)
    are_results(bound.invoke(messages).text, "Rome", "Oslo")
    # LangChain's Chat Completions know no field for thoughts.
    if family is not chat:
        are_thoughts(model, thoughts)


@promise(FAMILIES, MODELS, ["function_calling", "json_schema"])
def an_answer_has_the_shape_that_was_asked_for(family, model, method):
    answer = family(model).with_structured_output(City, method=method).invoke("Tell me about Paris")
    assert isinstance(answer, City), answer


@promise(FAMILIES, MODELS)
def an_image_is_seen(family, model):
    image = {"type": "image", "base64": PNG_BASE64, "mime_type": "image/png"}
    answer = family(model).invoke([HumanMessage([{"type": "text", "text": HELLO}, image])])
    is_echo_with_image(answer.text)


@promise()
def texts_are_embedded():
    # Without the check of lengths, which would fetch a tokenizer.
    openai = OpenAIEmbeddings(
        model=EMBEDDER, base_url=f"{BASE}/v1", api_key=KEY, check_embedding_ctx_length=False, max_retries=0
    )
    gemini = GoogleGenerativeAIEmbeddings(model=GEMINI_EMBEDDER, base_url=BASE, api_key=KEY)
    for embeddings in [openai, gemini]:
        one, two = embeddings.embed_documents(["one", "two"])
        assert len(one) > 1 and one != two and embeddings.embed_query("two") == two, (one, two)


@promise(FAMILIES, MODELS)
def a_wrong_key_is_refused(family, model):
    raised(ModelAuthenticationError, lambda: family(model, "nonsense").invoke(HELLO), is_exact=False)


@promise(FAMILIES)
def a_model_that_is_not_there_is_not_found(family):
    raised(ModelNotFoundError, lambda: family(UNKNOWN).invoke(HELLO), is_exact=False)


@promise(FAMILIES, MODELS)
def the_providers_failures_have_their_classes(family, model):
    for status, kind in [(429, ModelRateLimitError), (500, ModelAPIError), (400, ModelInvalidRequestError)]:
        raised(kind, lambda: family(model).invoke(provider_fails(status)), is_exact=False)
        raised(kind, lambda: list(family(model).stream(provider_fails(status))), is_exact=False)


@promise(FAMILIES, MODELS)
def who_leaves_in_the_middle_is_noticed(family, model):
    stream = family(model).stream(SLOWLY)
    next(stream)
    next(stream)
    stream.close()
    was_left(last_request.identity)


run()
