// Vercel's AI SDK against a running Tollgate: with its OpenAI provider (Responses, as is its default, and Chat), its
// Anthropic and Google providers and OpenRouter's own, each with models behind every dialect.
// Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.

import assert from 'node:assert/strict';

import { City, areResults, areThoughts, base, embedder, geminiEmbedder, hello, isCity, isEcho, isEchoWithImage, keys, load, models } from './harness.mjs';
import { oneCity, png, providerFails, run, slowly, twoCities, twoSteps, unknown, wasLeft, weather, z } from './harness.mjs';

const ai = load('ai');
const { APICallError, Output, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } = ai;
const { createAnthropic } = load('@ai-sdk/anthropic');
const { createGoogleGenerativeAI } = load('@ai-sdk/google');
const { createOpenAI } = load('@ai-sdk/openai');
const { createOpenRouter } = load('@openrouter/ai-sdk-provider');

// The id of the last request: the SDK does not show it before a stream's end.
let lastRequest;
async function watched(...request) {
  const answer = await fetch(...request);
  lastRequest = answer.headers.get('x-request-id');
  return answer;
}

const at = (path, apiKey) => ({ baseURL: `${base}${path}`, apiKey, fetch: watched });
const thinking = {
  responses: {
    openai: {
      reasoningEffort: 'low',
      reasoningSummary: 'auto',
      forceReasoning: true,
      store: false,
      include: ['reasoning.encrypted_content'],
    },
  },
  chat: { openai: { reasoningEffort: 'low', forceReasoning: true } },
  anthropic: { anthropic: { thinking: { type: 'enabled', budgetTokens: 2000 } } },
  google: { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2000 } } },
  openrouter: { openrouter: { reasoning: { effort: 'low' } } },
};
const provider = (title, of) => ({ title, of: (model, key = keys.good) => of(key, model), thinking: thinking[title] });
const providers = [
  provider('responses', (key, model) => createOpenAI(at('/v1', key))(model)),
  provider('chat', (key, model) => createOpenAI(at('/v1', key)).chat(model)),
  provider('anthropic', (key, model) => createAnthropic(at('/v1', key))(model)),
  provider('google', (key, model) => createGoogleGenerativeAI(at('/v1beta', key))(model)),
  provider('openrouter', (key, model) => createOpenRouter(at('/api/v1', key)).chat(model)),
];
const embedders = [
  { title: 'openai', model: createOpenAI(at('/v1', keys.good)).textEmbeddingModel(embedder) },
  { title: 'google', model: createGoogleGenerativeAI(at('/v1beta', keys.good)).textEmbeddingModel(geminiEmbedder) },
  { title: 'openrouter', model: createOpenRouter(at('/api/v1', keys.good)).textEmbeddingModel(embedder) },
];

// Every call as most people make it, but that failures are not tried again.
const options = { maxRetries: 0, maxOutputTokens: 4000 };
// What goes wrong in a stream is seen in its parts, not on the screen.
const streaming = { ...options, onError: () => {} };
const asked = [];
const tools = {
  get_weather: tool({
    description: 'The weather',
    inputSchema: z.object({ city: z.string().describe('Name of the city') }),
    execute: async ({ city }) => {
      asked.push(city);
      return weather(city);
    },
  }),
};

// The error of the provider's own kind that the call ends in.
async function refused(call) {
  try {
    await call();
  } catch (error) {
    assert.ok(APICallError.isInstance(error), `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail('nothing was refused');
}

// The parts of a stream; what goes wrong in it is thrown.
async function partsOf(result) {
  const parts = [];
  for await (const part of result.fullStream) {
    if (part.type === 'error') throw part.error;
    parts.push(part);
  }
  return parts;
}

const promises = {
  async aConversationIsAnswered({ of }, model) {
    const messages = [
      { role: 'user', content: 'Who are you?' },
      { role: 'assistant', content: 'Somebody.' },
      { role: 'user', content: hello },
    ];
    const answer = await generateText({ model: of(model), system: 'Be brief.', messages, stopSequences: [], ...options });
    isEcho(answer.text);
    assert.equal(answer.finishReason, 'stop');
    assert.equal(answer.response.modelId, model);
    assert.ok(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0);
  },

  async aStreamSaysTheSameAsTheWholeAnswer({ of }, model) {
    const whole = await generateText({ model: of(model), prompt: hello, ...options });
    const stream = streamText({ model: of(model), prompt: hello, ...streaming });
    const parts = await partsOf(stream);
    const text = parts.filter((part) => part.type === 'text-delta').map((part) => part.text).join('');
    assert.equal(text, whole.text);
    assert.equal(await stream.finishReason, 'stop');
    assert.ok((await stream.usage).outputTokens > 0);
  },

  async toolsAreCalledUntilThereIsAnAnswer({ of }, model) {
    for (const [prompt, cities, steps] of [[oneCity, ['Paris'], 2], [twoCities, ['Paris', 'Oslo'], 2], [twoSteps, ['Rome', 'Oslo'], 3]]) {
      asked.length = 0;
      const answer = await generateText({ model: of(model), prompt, tools, stopWhen: stepCountIs(5), ...options });
      assert.deepEqual(asked, cities);
      assert.equal(answer.steps.length, steps);
      assert.equal(answer.steps[0].finishReason, 'tool-calls');
      areResults(answer.text, ...cities);
    }
  },

  async toolCallsStream({ of }, model) {
    asked.length = 0;
    const stream = streamText({ model: of(model), prompt: twoCities, tools, stopWhen: stepCountIs(5), ...streaming });
    const parts = await partsOf(stream);
    const calls = parts.filter((part) => part.type === 'tool-call').map((part) => part.input.city);
    assert.deepEqual(calls, ['Paris', 'Oslo']);
    assert.deepEqual(asked, ['Paris', 'Oslo']);
    areResults(await stream.text, 'Paris', 'Oslo');
  },

  async aToolCanBeForcedAndForbidden({ of }, model) {
    const forced = await generateText({ model: of(model), prompt: hello, tools, toolChoice: 'required', ...options });
    assert.deepEqual(forced.toolCalls.map((call) => call.toolName), ['get_weather']);
    const forbidden = await generateText({ model: of(model), prompt: oneCity, tools, toolChoice: 'none', ...options });
    assert.ok(forbidden.text && !forbidden.toolCalls.length);
  },

  async aConversationWithToolsAndThoughtsGoesOn({ of, thinking, title }, model) {
    asked.length = 0;
    const providerOptions = thinking;
    const request = { model: of(model), tools, stopWhen: stepCountIs(5), providerOptions, ...options };
    const first = await generateText({ ...request, prompt: twoSteps });
    areResults(first.text, 'Rome', 'Oslo');
    // The Chat provider of the SDK knows no field for thoughts.
    if (title !== 'chat') areThoughts(model, first.steps.map((step) => step.reasoningText ?? '').join(''));
    const messages = [{ role: 'user', content: twoSteps }, ...first.response.messages, { role: 'user', content: twoCities }];
    const second = streamText({ ...request, ...streaming, messages });
    await partsOf(second);
    areResults(await second.text, 'Paris', 'Oslo');
    assert.deepEqual(asked, ['Rome', 'Oslo', 'Paris', 'Oslo']);
  },

  async anAnswerHasTheShapeThatWasAskedFor({ of }, model) {
    const request = { model: of(model), schema: City, prompt: 'Tell me about Paris', ...options };
    isCity((await generateObject(request)).object);
    const stream = streamObject({ ...request, ...streaming });
    for await (const part of stream.fullStream) assert.notEqual(part.type, 'error', String(part.error));
    isCity(await stream.object);
    const answer = await generateText({ model: of(model), output: Output.object({ schema: City }), prompt: 'And Oslo', ...options });
    isCity(answer.output);
  },

  async anImageIsSeen({ of }, model) {
    const content = [{ type: 'text', text: hello }, { type: 'image', image: png, mediaType: 'image/png' }];
    isEchoWithImage((await generateText({ model: of(model), messages: [{ role: 'user', content }], ...options })).text);
  },

  async aWrongKeyIsRefused({ of }, model) {
    const error = await refused(() => generateText({ model: of(model, 'nonsense'), prompt: hello, ...options }));
    assert.equal(error.statusCode, 401);
    assert.ok(!error.isRetryable && error.message);
  },

  async theProvidersFailuresAreKnown({ of }, model) {
    for (const [status, statuses, isRetryable] of [[429, [429], true], [500, [500, 502], true], [400, [400], false]]) {
      const request = { model: of(model), prompt: providerFails(status), ...streaming };
      for (const ask of [() => generateText(request), () => partsOf(streamText(request))]) {
        const error = await refused(ask);
        assert.ok(statuses.includes(error.statusCode), `${error.statusCode} ${error.message}`);
        assert.equal(error.isRetryable, isRetryable);
      }
    }
  },

  async whoLeavesInTheMiddleIsNoticed({ of }, model) {
    const hangUp = new AbortController();
    const stream = streamText({ model: of(model), prompt: slowly, abortSignal: hangUp.signal, ...streaming });
    const kinds = [];
    for await (const part of stream.fullStream) {
      kinds.push(part.type);
      if (part.type === 'text-delta') hangUp.abort();
    }
    assert.ok(kinds.includes('text-delta') && kinds.includes('abort'), kinds.join(' '));
    await wasLeft(lastRequest);
  },
};

const strangers = {
  async aModelThatIsNotThereIsNotFound({ of }) {
    assert.equal((await refused(() => generateText({ model: of(unknown), prompt: hello, ...options }))).statusCode, 404);
  },
};

const texts = {
  async textsAreEmbedded({ model }) {
    const { embeddings, usage } = await embedMany({ model, values: ['one', 'two', 'one'], maxRetries: 0 });
    assert.ok(embeddings[0].length > 1);
    assert.deepEqual(embeddings[0], embeddings[2]);
    assert.notDeepEqual(embeddings[0], embeddings[1]);
    assert.ok(usage);
  },
};

globalThis.AI_SDK_LOG_WARNINGS = false;
await run([[providers, models], promises], [[providers], strangers], [[embedders], texts]);
