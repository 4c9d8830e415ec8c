// The official OpenAI SDK for Node against a running Tollgate: what its users rely on, seen with their eyes. Chat
// Completions and Responses, each with models behind every dialect.
// Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.

import assert from 'node:assert/strict';

import { City, areResults, areThoughts, base, embedder, hello, isCity, isEcho, isEchoWithImage, keys, load, models } from './harness.mjs';
import { oneCity, pngUri, providerFails, raised, run, slowly, twoCities, twoSteps, unknown, wasLeft, weather } from './harness.mjs';
import { weatherSchema } from './harness.mjs';

const OpenAI = load('openai').default ?? load('openai');
const { zodResponseFormat, zodTextFormat } = load('openai/helpers/zod');
const model = process.env.TOLLGATE_MODEL;
const messages = [{ role: 'user', content: 'Hello there' }];

const client = (key = 'good') => new OpenAI({ baseURL: `${base}/v1`, apiKey: keys[key] ?? key, maxRetries: 0, timeout: 30_000 });

// The gateway itself: usage, models, refusals and limits, with one model of the caller's own dialect.

const gateway = {
  async chatAnswers() {
    const { data, response } = await client().chat.completions.create({ model, messages }).withResponse();
    assert.ok(data.choices[0].message.content);
    assert.equal(data.choices[0].finish_reason, 'stop');
    assert.equal(data.model, model);
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.ok(data.usage.cost > 0 && data.usage.is_byok === false);
    assert.match(data._request_id, /^req_/);
    assert.equal(response.headers.get('x-tollgate-attempts'), '1');
  },

  async aStreamWithoutUsageHasNone() {
    let text = '';
    let finish = null;
    for await (const chunk of await client().chat.completions.create({ model, messages, stream: true })) {
      assert.ok(chunk.usage == null);
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? '';
        finish = choice.finish_reason ?? finish;
      }
    }
    assert.ok(text);
    assert.equal(finish, 'stop');
  },

  async aStreamWithUsageEndsInIt() {
    const chunks = [];
    const stream = await client().chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.at(-1);
    assert.deepEqual(last.choices, []);
    assert.ok(last.usage.total_tokens > 0 && last.usage.cost > 0);
  },

  async theStreamHelperFolds() {
    const whole = await client().chat.completions.stream({ model, messages }).finalChatCompletion();
    assert.ok(whole.choices[0].message.content);
  },

  async modelsAreListed() {
    const ids = [];
    for await (const entry of client().models.list()) ids.push(entry.id);
    assert.ok(ids.includes(model));
    assert.equal((await client().models.retrieve(model)).id, model);
  },

  async aWrongKeyIsAnAuthenticationError() {
    const error = await raised(OpenAI.AuthenticationError, () => client('nonsense').chat.completions.create({ model, messages }));
    assert.equal(error.code, 'invalid_api_key');
    assert.equal(error.type, 'authentication_error');
    assert.match(error.requestID, /^req_/);
  },

  async anUnknownModelIsNotFound() {
    const error = await raised(OpenAI.NotFoundError, () => client().chat.completions.create({ model: 'nobody/nothing', messages }));
    assert.equal(error.code, 'model_not_found');
  },

  async aMalformedBodyIsABadRequest() {
    const error = await raised(OpenAI.BadRequestError, () => client().chat.completions.create({ model, messages: 'not a list' }));
    assert.equal(error.param, 'messages');
  },

  async aBodyOverTheLimitIsRefused() {
    const huge = [{ role: 'user', content: 'x'.repeat(33 << 20) }];
    const error = await raised(OpenAI.APIError, () => client().chat.completions.create({ model, messages: huge }));
    assert.equal(error.status, 413);
  },

  async emptyCreditsSaySo() {
    const error = await raised(OpenAI.APIError, () => client('empty').chat.completions.create({ model, messages }));
    assert.equal(error.status, 402);
    assert.equal(error.code, 'insufficient_quota');
  },

  async aUsedUpBudgetIsAPermissionError() {
    const spender = client('budget');
    const error = await raised(OpenAI.PermissionDeniedError, async () => {
      for (let at = 0; at < 200; at += 1) await spender.chat.completions.create({ model, messages, max_tokens: 50 });
    });
    assert.equal(error.code, 'key_limit_exceeded');
  },

  async aRateLimitHasItsHeaders() {
    const limited = client('rate');
    const error = await raised(OpenAI.RateLimitError, async () => {
      for (let at = 0; at < 20; at += 1) await limited.chat.completions.create({ model, messages });
    });
    assert.equal(error.code, 'rate_limit_exceeded');
    assert.ok(Number(error.headers.get('retry-after')) >= 1);
    assert.equal(error.headers.get('x-ratelimit-limit-requests'), '5');
    assert.equal(error.headers.get('x-ratelimit-remaining-requests'), '0');
  },

  async aClientThatLeavesIsNotAnError() {
    const stream = await client().chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      break;
    }
    await gateway.chatAnswers();
  },
};

// Chat Completions with every dialect behind it.

const tools = [{ type: 'function', function: { name: 'get_weather', description: 'The weather', parameters: weatherSchema } }];
const user = (content) => [{ role: 'user', content }];
const chat = (request, key) => client(key).chat.completions.create(request);
const citiesOf = (message) => (message.tool_calls ?? []).map((call) => JSON.parse(call.function.arguments).city);

// The conversation after each tool call of the message was carried out.
const withResults = (conversation, message) => [
  ...conversation,
  message,
  ...message.tool_calls.map((call) => ({
    role: 'tool',
    tool_call_id: call.id,
    content: weather(JSON.parse(call.function.arguments).city),
  })),
];

const chats = {
  async aConversationIsAnswered(model) {
    const conversation = [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: 'Who are you?' },
      { role: 'assistant', content: 'Somebody.' },
      ...user(hello),
    ];
    const answer = await chat({ model, messages: conversation, max_completion_tokens: 100, temperature: 0.5, stop: 'THE END' });
    isEcho(answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.equal(answer.model, model);
    assert.ok(answer.usage.prompt_tokens > 0 && answer.usage.completion_tokens > 0 && answer.usage.cost > 0);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    assert.match(answer._request_id, /^req_/);
  },

  async aStreamSaysTheSameAsTheWholeAnswer(model) {
    const whole = (await chat({ model, messages })).choices[0].message.content;
    const options = { stream: true, stream_options: { include_usage: true } };
    let text = '';
    const finishes = [];
    const usages = [];
    for await (const chunk of await chat({ model, messages, ...options })) {
      if (chunk.usage) usages.push(chunk.usage);
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? '';
        if (choice.finish_reason) finishes.push(choice.finish_reason);
      }
    }
    assert.equal(text, whole);
    assert.deepEqual(finishes, ['stop']);
    assert.equal(usages.length, 1);
    assert.ok(usages[0].completion_tokens > 0);
  },

  async aToolIsCalledAndItsResultAnswered(model) {
    const [first] = (await chat({ model, messages: user(oneCity), tools })).choices;
    assert.equal(first.finish_reason, 'tool_calls');
    assert.deepEqual(citiesOf(first.message), ['Paris']);
    assert.ok(first.message.tool_calls[0].id);
    const [second] = (await chat({ model, messages: withResults(user(oneCity), first.message), tools })).choices;
    assert.equal(second.finish_reason, 'stop');
    areResults(second.message.content, 'Paris');
  },

  async toolsAreCalledSideBySide(model) {
    const { message } = (await chat({ model, messages: user(twoCities), tools })).choices[0];
    assert.deepEqual(citiesOf(message), ['Paris', 'Oslo']);
    assert.equal(new Set(message.tool_calls.map((call) => call.id)).size, 2);
    const [second] = (await chat({ model, messages: withResults(user(twoCities), message), tools })).choices;
    areResults(second.message.content, 'Paris', 'Oslo');
  },

  async theToolRunnerComesToAnEnd(model) {
    const asked = [];
    const get_weather = ({ city }) => {
      asked.push(city);
      return weather(city);
    };
    const tool = { ...tools[0], function: { ...tools[0].function, function: get_weather, parse: JSON.parse } };
    for (const stream of [false, true]) {
      const runner = client().chat.completions.runTools({ model, messages: user(twoSteps), tools: [tool], stream });
      areResults(await runner.finalContent(), 'Rome', 'Oslo');
    }
    assert.deepEqual(asked, ['Rome', 'Oslo', 'Rome', 'Oslo']);
  },

  async aConversationWithToolsAndThoughtsGoesOn(model) {
    let conversation = user(twoSteps);
    let thoughts = '';
    for (const city of ['Rome', 'Oslo']) {
      const { message } = (await chat({ model, messages: conversation, tools, reasoning_effort: 'low' })).choices[0];
      assert.deepEqual(citiesOf(message), [city]);
      thoughts += message.reasoning_content ?? '';
      conversation = withResults(conversation, message);
    }
    const last = await chat({ model, messages: conversation, tools, reasoning_effort: 'low' });
    areResults(last.choices[0].message.content, 'Rome', 'Oslo');
    areThoughts(model, thoughts);
  },

  async anAnswerHasTheShapeThatWasAskedFor(model) {
    const format = zodResponseFormat(City, 'city');
    const answer = await client().chat.completions.parse({ model, messages: user('Tell me about Paris'), response_format: format });
    isCity(answer.choices[0].message.parsed);
    const streamed = client().chat.completions.stream({ model, messages: user('And Oslo'), response_format: format });
    isCity((await streamed.finalChatCompletion()).choices[0].message.parsed);
    // Anthropic has no such mode: its models are only told to, and the fake does not listen.
    if (model === 'strict/anthropic') return;
    const loose = await chat({ model, messages: user('Answer in JSON'), response_format: { type: 'json_object' } });
    assert.equal(typeof JSON.parse(loose.choices[0].message.content), 'object');
  },

  async anImageIsSeen(model) {
    const content = [{ type: 'text', text: hello }, { type: 'image_url', image_url: { url: pngUri } }];
    isEchoWithImage((await chat({ model, messages: user(content) })).choices[0].message.content);
  },
};

const embeddings = {
  async textsAreEmbedded() {
    // The SDK asks for base64 by itself.
    const answer = await client().embeddings.create({ model: embedder, input: ['one', 'two'] });
    const floats = await client().embeddings.create({ model: embedder, input: ['one', 'two'], encoding_format: 'float' });
    assert.equal(answer.data.length, 2);
    for (const [at, { embedding }] of answer.data.entries()) {
      assert.ok(embedding.length > 1);
      assert.deepEqual(embedding.map(Math.fround), floats.data[at].embedding.map(Math.fround));
    }
  },
};

// Both ways of asking.
const ways = [
  Object.assign((model, text, more, key) => chat({ model, messages: user(text), ...more }, key), { title: 'chat' }),
  Object.assign((model, text, more, key) => respond({ model, input: text, ...more }, key), { title: 'responses' }),
];

const refusals = {
  async aWrongKeyIsRefused(ask, model) {
    const error = await raised(OpenAI.AuthenticationError, () => ask(model, hello, {}, 'nonsense'));
    assert.equal(error.code, 'invalid_api_key');
  },

  async theProvidersFailuresHaveTheirClasses(ask, model) {
    for (const stream of [false, true]) {
      await raised(OpenAI.RateLimitError, () => ask(model, providerFails(429), { stream }));
      await raised(OpenAI.InternalServerError, () => ask(model, providerFails(500), { stream }));
      const error = await raised(OpenAI.BadRequestError, () => ask(model, providerFails(400), { stream }));
      assert.match(error.requestID, /^req_/);
    }
  },

  async whoLeavesInTheMiddleIsNoticed(ask, model) {
    const { data: stream, response } = await ask(model, slowly, { stream: true }).withResponse();
    for await (const event of stream) {
      if (event.choices?.[0]?.delta.content || event.type === 'response.output_text.delta') break;
    }
    await wasLeft(response.headers.get('x-request-id'));
  },
};

const strangers = {
  async aModelThatIsNotThereIsNotFound(ask) {
    assert.equal((await raised(OpenAI.NotFoundError, () => ask(unknown, hello))).code, 'model_not_found');
  },
};

// Responses with every dialect behind it.

const functions = [{ type: 'function', name: 'get_weather', description: 'The weather', parameters: weatherSchema, strict: true }];
const respond = (request, key) => client(key).responses.create({ store: false, ...request });
const calledCities = (response) =>
  response.output.filter((item) => item.type === 'function_call').map((item) => JSON.parse(item.arguments).city);

// The conversation after each function call of the response was carried out.
const after = (conversation, response) => [
  ...conversation,
  ...response.output,
  ...response.output
    .filter((item) => item.type === 'function_call')
    .map((item) => ({ type: 'function_call_output', call_id: item.call_id, output: weather(JSON.parse(item.arguments).city) })),
];

const responses = {
  async aResponseIsGiven(model) {
    const input = [{ role: 'user', content: 'Who are you?' }, { role: 'assistant', content: 'Somebody.' }, ...user(hello)];
    const answer = await respond({ model, input, instructions: 'Be brief.', max_output_tokens: 100, temperature: 0.5 });
    isEcho(answer.output_text);
    assert.equal(answer.status, 'completed');
    assert.equal(answer.model, model);
    assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
  },

  async theEventsOfAResponseAreInOrder(model) {
    const whole = (await respond({ model, input: hello })).output_text;
    const events = [];
    for await (const event of await respond({ model, input: hello, stream: true })) events.push(event);
    assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
    assert.deepEqual(events.slice(0, 2).map((event) => event.type), ['response.created', 'response.in_progress']);
    assert.equal(events.at(-1).type, 'response.completed');
    const deltas = events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta);
    assert.equal(deltas.join(''), whole);
  },

  async functionsAreCalledAndTheirResultsAnswered(model) {
    for (const [text, cities] of [[oneCity, ['Paris']], [twoCities, ['Paris', 'Oslo']]]) {
      const first = await respond({ model, input: text, tools: functions });
      assert.deepEqual(calledCities(first), cities);
      const second = await respond({ model, input: after(user(text), first), tools: functions });
      areResults(second.output_text, ...cities);
    }
  },

  async functionCallsStreamInPieces(model) {
    const stream = client().responses.stream({ model, input: twoCities, tools: functions, store: false });
    const done = [];
    stream.on('response.function_call_arguments.done', (event) => done.push(JSON.parse(event.arguments).city));
    const first = await stream.finalResponse();
    assert.deepEqual(done, ['Paris', 'Oslo']);
    // The stream's own field, which OpenAI does not take back.
    for (const item of first.output) delete item.parsed_arguments;
    const second = await respond({ model, input: after(user(twoCities), first), tools: functions });
    areResults(second.output_text, 'Paris', 'Oslo');
  },

  async aConversationWithFunctionsAndThoughtsGoesOn(model) {
    const options = { tools: functions, reasoning: { effort: 'low', summary: 'auto' }, include: ['reasoning.encrypted_content'] };
    let input = user(twoSteps);
    let thoughts = '';
    for (const city of ['Rome', 'Oslo']) {
      const answer = await respond({ model, input, ...options });
      assert.deepEqual(calledCities(answer), [city]);
      for (const item of answer.output) thoughts += (item.summary ?? []).map((part) => part.text).join('');
      input = after(input, answer);
    }
    areResults((await respond({ model, input, ...options })).output_text, 'Rome', 'Oslo');
    areThoughts(model, thoughts);
  },

  async aResponseHasTheShapeThatWasAskedFor(model) {
    const text = { format: zodTextFormat(City, 'city') };
    const answer = await client().responses.parse({ model, input: 'Tell me about Paris', text, store: false });
    isCity(answer.output_parsed);
  },

  async aResponseSeesAnImage(model) {
    const content = [{ type: 'input_text', text: hello }, { type: 'input_image', image_url: pngUri, detail: 'auto' }];
    isEchoWithImage((await respond({ model, input: user(content) })).output_text);
  },
};

await run([[], gateway], [[models], chats], [[], embeddings], [[ways, models], refusals], [[ways], strangers], [[models], responses]);
