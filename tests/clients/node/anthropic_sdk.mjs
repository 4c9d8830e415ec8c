// The official Anthropic SDK for Node against a running Tollgate, with models behind every dialect.
// Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.

import assert from 'node:assert/strict';

import { City, areResults, areThoughts, base, hello, isCity, isEcho, isEchoWithImage, keys, load, models } from './harness.mjs';
import { oneCity, pngBase64, providerFails, raised, run, slowly, twoCities, twoSteps, unknown, wasLeft } from './harness.mjs';
import { weather, weatherSchema, z } from './harness.mjs';

const Anthropic = load('@anthropic-ai/sdk').default ?? load('@anthropic-ai/sdk');
const { zodOutputFormat } = load('@anthropic-ai/sdk/helpers/zod');
const { betaZodTool } = load('@anthropic-ai/sdk/helpers/beta/zod');

const tools = [{ name: 'get_weather', description: 'The weather', input_schema: weatherSchema }];
const client = (apiKey = keys.good) => new Anthropic({ baseURL: base, apiKey, maxRetries: 0, timeout: 30_000 });
const user = (content) => [{ role: 'user', content }];
const ask = (request, key) => client(key).messages.create({ max_tokens: 200, ...request });
const textOf = (message) => message.content.filter((block) => block.type === 'text').map((block) => block.text).join('');
const callsOf = (message) => message.content.filter((block) => block.type === 'tool_use');
const citiesOf = (message) => callsOf(message).map((call) => call.input.city);

// The conversation after each tool of the message was used.
const after = (messages, message) => [
  ...messages,
  { role: 'assistant', content: message.content },
  ...user(callsOf(message).map((call) => ({ type: 'tool_result', tool_use_id: call.id, content: weather(call.input.city) }))),
];

const promises = {
  async aConversationIsAnswered(model) {
    const messages = [...user('Who are you?'), { role: 'assistant', content: 'Somebody.' }, ...user(hello)];
    const answer = await ask({ model, messages, system: 'Be brief.', stop_sequences: ['THE END'] });
    isEcho(textOf(answer));
    assert.equal(answer.stop_reason, 'end_turn');
    assert.equal(answer.model, model);
    assert.ok(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0);
    assert.match(answer._request_id, /^req_/);
  },

  async aStreamSaysTheSameAsTheWholeAnswer(model) {
    const whole = textOf(await ask({ model, messages: user(hello) }));
    const stream = client().messages.stream({ model, max_tokens: 200, messages: user(hello) });
    let text = '';
    stream.on('text', (piece) => { text += piece; });
    const final = await stream.finalMessage();
    assert.equal(text, whole);
    assert.equal(textOf(final), whole);
    assert.equal(final.stop_reason, 'end_turn');
    assert.ok(final.usage.input_tokens > 0 && final.usage.output_tokens > 0);
  },

  async toolsAreUsedAndTheirResultsAnswered(model) {
    for (const [text, cities] of [[oneCity, ['Paris']], [twoCities, ['Paris', 'Oslo']]]) {
      const first = await ask({ model, messages: user(text), tools });
      assert.equal(first.stop_reason, 'tool_use');
      assert.deepEqual(citiesOf(first), cities);
      assert.equal(new Set(callsOf(first).map((call) => call.id)).size, cities.length);
      const second = await ask({ model, messages: after(user(text), first), tools });
      assert.equal(second.stop_reason, 'end_turn');
      areResults(textOf(second), ...cities);
    }
  },

  async toolInputStreamsInPieces(model) {
    const stream = client().messages.stream({ model, max_tokens: 200, messages: user(twoCities), tools });
    const pieces = [];
    stream.on('inputJson', (piece) => pieces.push(piece));
    const final = await stream.finalMessage();
    assert.equal(pieces.join('').replaceAll(' ', ''), '{"city":"Paris"}{"city":"Oslo"}');
    assert.deepEqual(citiesOf(final), ['Paris', 'Oslo']);
    areResults(textOf(await ask({ model, messages: after(user(twoCities), final), tools })), 'Paris', 'Oslo');
  },

  async theToolRunnerComesToAnEnd(model) {
    const asked = [];
    const tool = betaZodTool({
      name: 'get_weather',
      description: 'The weather',
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => {
        asked.push(city);
        return weather(city);
      },
    });
    for (const stream of [false, true]) {
      const request = { model, max_tokens: 200, messages: user(twoSteps), tools: [tool], stream };
      areResults(textOf(await client().beta.messages.toolRunner(request).runUntilDone()), 'Rome', 'Oslo');
    }
    assert.deepEqual(asked, ['Rome', 'Oslo', 'Rome', 'Oslo']);
  },

  async aToolCanBeForcedAndForbidden(model) {
    const forced = await ask({ model, messages: user(hello), tools, tool_choice: { type: 'any' } });
    assert.deepEqual(callsOf(forced).map((call) => call.name), ['get_weather']);
    const forbidden = await ask({ model, messages: user(oneCity), tools, tool_choice: { type: 'none' } });
    assert.equal(forbidden.stop_reason, 'end_turn');
    assert.ok(textOf(forbidden) && !callsOf(forbidden).length);
  },

  async aConversationWithToolsAndThoughtsGoesOn(model) {
    const options = { model, max_tokens: 4000, tools, thinking: { type: 'enabled', budget_tokens: 2000 } };
    let messages = user(twoSteps);
    let thoughts = '';
    for (const city of ['Rome', 'Oslo']) {
      const answer = await client().messages.stream({ ...options, messages }).finalMessage();
      assert.deepEqual(citiesOf(answer), [city]);
      for (const block of answer.content) thoughts += block.thinking ?? '';
      messages = after(messages, answer);
    }
    areResults(textOf(await ask({ ...options, messages })), 'Rome', 'Oslo');
    areThoughts(model, thoughts);
  },

  async anAnswerHasTheShapeThatWasAskedFor(model) {
    const request = { model, max_tokens: 200, output_config: { format: zodOutputFormat(City) } };
    isCity((await client().messages.parse({ ...request, messages: user('Tell me about Paris') })).parsed_output);
    isCity((await client().messages.stream({ ...request, messages: user('And Oslo') }).finalMessage()).parsed_output);
  },

  async anImageIsSeen(model) {
    const source = { type: 'base64', media_type: 'image/png', data: pngBase64 };
    isEchoWithImage(textOf(await ask({ model, messages: user([{ type: 'image', source }, { type: 'text', text: hello }]) })));
  },

  async tokensAreCounted(model) {
    const count = async (text) => (await client().messages.countTokens({ model, messages: user(text) })).input_tokens;
    const short = await count(hello);
    const long = await count(hello.repeat(100));
    assert.ok(0 < short && short < long, `${short} ${long}`);
  },

  async aModelIsListed(model) {
    const ids = [];
    for await (const row of client().models.list()) ids.push(row.id);
    assert.ok(ids.includes(model), ids.join(' '));
    assert.equal((await client().models.retrieve(model)).id, model);
  },

  async aWrongKeyIsRefused(model) {
    const error = await raised(Anthropic.AuthenticationError, () => ask({ model, messages: user(hello) }, 'nonsense'));
    assert.equal(error.error.error.type, 'authentication_error');
    assert.match(error.requestID, /^req_/);
  },

  async theProvidersFailuresHaveTheirClasses(model) {
    for (const stream of [false, true]) {
      const failed = (status, kind) => raised(kind, () => ask({ model, messages: user(providerFails(status)), stream }));
      assert.equal((await failed(429, Anthropic.RateLimitError)).error.error.type, 'rate_limit_error');
      assert.equal((await failed(500, Anthropic.InternalServerError)).error.error.type, 'api_error');
      assert.equal((await failed(400, Anthropic.BadRequestError)).error.error.type, 'invalid_request_error');
    }
  },

  async whoLeavesInTheMiddleIsNoticed(model) {
    const { data: stream, response } = await ask({ model, messages: user(slowly), stream: true }).withResponse();
    for await (const event of stream) {
      if (event.type === 'content_block_delta') break;
    }
    await wasLeft(response.headers.get('request-id'));
  },
};

const strangers = {
  async aModelThatIsNotThereIsNotFound() {
    const error = await raised(Anthropic.NotFoundError, () => ask({ model: unknown, messages: user(hello) }));
    assert.equal(error.error.error.type, 'not_found_error');
  },
};

await run([[models], promises], [[], strangers]);
