// The official Google Gen AI SDK for Node against a running Tollgate, with models behind every dialect.
// Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.

import assert from 'node:assert/strict';

import { City, areResults, areThoughts, base, geminiEmbedder, hello, isCity, isEcho, isEchoWithImage, keys, load, models } from './harness.mjs';
import { oneCity, pngBase64, providerFails, raised, run, slowly, twoCities, twoSteps, unknown, wasLeft } from './harness.mjs';
import { weather, weatherSchema, z } from './harness.mjs';

const { ApiError, FunctionCallingConfigMode: Mode, GoogleGenAI, Type, createPartFromBase64 } = load('@google/genai');

const client = (apiKey = keys.good, apiVersion = undefined) =>
  new GoogleGenAI({ apiKey, httpOptions: { baseUrl: base, apiVersion, timeout: 30_000 } });
const generate = (request, version) => client(undefined, version).models.generateContent(request);
const user = (text) => [{ role: 'user', parts: [{ text }] }];
const citiesOf = (answer) => (answer.functionCalls ?? []).map((call) => call.args.city);
const byJsonSchema = { name: 'get_weather', description: 'The weather', parametersJsonSchema: weatherSchema };
const bySchema = {
  name: 'get_weather',
  description: 'The weather',
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ['city'] },
};
const withTools = (declaration, more) => ({ tools: [{ functionDeclarations: [declaration] }], ...more });

// The conversation after each function of the answer was called.
const after = (contents, answer) => [
  ...contents,
  answer.candidates[0].content,
  {
    role: 'user',
    parts: answer.functionCalls.map(({ id, name, args }) => ({
      functionResponse: { id, name, response: { output: weather(args.city) } },
    })),
  },
];

async function all(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

const promises = {
  async aConversationIsAnswered(model) {
    const contents = [...user('Who are you?'), { role: 'model', parts: [{ text: 'Somebody.' }] }, ...user(hello)];
    const config = { systemInstruction: 'Be brief.', temperature: 0.5, maxOutputTokens: 100, stopSequences: ['THE END'] };
    for (const version of ['v1', 'v1beta']) {
      const answer = await generate({ model, contents, config }, version);
      isEcho(answer.text);
      assert.equal(answer.candidates[0].finishReason, 'STOP');
      assert.equal(answer.modelVersion, model);
      assert.ok(answer.responseId);
      const usage = answer.usageMetadata;
      assert.ok(usage.promptTokenCount > 0 && usage.candidatesTokenCount > 0);
      assert.equal(usage.totalTokenCount, usage.promptTokenCount + usage.candidatesTokenCount);
    }
  },

  async aStreamSaysTheSameAsTheWholeAnswer(model) {
    const whole = (await generate({ model, contents: hello })).text;
    const chunks = await all(client().models.generateContentStream({ model, contents: hello }));
    assert.equal(chunks.map((chunk) => chunk.text ?? '').join(''), whole);
    assert.equal(chunks.at(-1).candidates[0].finishReason, 'STOP');
    assert.ok(chunks.at(-1).usageMetadata.candidatesTokenCount > 0);
  },

  async aChatKeepsItsHistory(model) {
    const chat = client().chats.create({ model });
    isEcho((await chat.sendMessage({ message: 'First' })).text, 'First');
    const chunks = await all(chat.sendMessageStream({ message: 'Second' }));
    isEcho(chunks.map((chunk) => chunk.text ?? '').join(''), 'Second');
    assert.ok(chat.getHistory().length >= 4);
  },

  async functionsAreCalledAndTheirResultsAnswered(model) {
    for (const declaration of [bySchema, byJsonSchema]) {
      for (const [text, cities] of [[oneCity, ['Paris']], [twoCities, ['Paris', 'Oslo']]]) {
        const config = withTools(declaration);
        const first = await generate({ model, contents: text, config });
        assert.deepEqual(citiesOf(first), cities);
        assert.equal(first.candidates[0].finishReason, 'STOP');
        areResults((await generate({ model, contents: after(user(text), first), config })).text, ...cities);
      }
    }
  },

  async functionCallsStream(model) {
    const chunks = await all(client().models.generateContentStream({ model, contents: twoCities, config: withTools(bySchema) }));
    assert.deepEqual(chunks.flatMap(citiesOf), ['Paris', 'Oslo']);
    assert.equal(chunks.at(-1).candidates[0].finishReason, 'STOP');
  },

  async aFunctionCanBeForcedAndForbidden(model) {
    const mode = (name) => withTools(bySchema, { toolConfig: { functionCallingConfig: { mode: name } } });
    const forced = await generate({ model, contents: hello, config: mode(Mode.ANY) });
    assert.deepEqual(forced.functionCalls.map((call) => call.name), ['get_weather']);
    const forbidden = await generate({ model, contents: oneCity, config: mode(Mode.NONE) });
    assert.ok(!forbidden.functionCalls && forbidden.text);
  },

  async aConversationWithFunctionsAndThoughtsGoesOn(model) {
    const config = withTools(bySchema, { thinkingConfig: { includeThoughts: true, thinkingBudget: 2000 } });
    let contents = user(twoSteps);
    let thoughts = '';
    for (const city of ['Rome', 'Oslo']) {
      const answer = await generate({ model, contents, config });
      assert.deepEqual(citiesOf(answer), [city]);
      for (const part of answer.candidates[0].content.parts) thoughts += part.thought ? part.text : '';
      contents = after(contents, answer);
    }
    areResults((await generate({ model, contents, config })).text, 'Rome', 'Oslo');
    areThoughts(model, thoughts);
  },

  async anAnswerHasTheShapeThatWasAskedFor(model) {
    const responseSchema = {
      type: Type.OBJECT,
      properties: {
        name: { type: Type.STRING },
        population: { type: Type.INTEGER },
        districts: { type: Type.ARRAY, items: { type: Type.STRING } },
      },
      required: ['name', 'population', 'districts'],
    };
    for (const schema of [{ responseSchema }, { responseJsonSchema: z.toJSONSchema(City) }]) {
      const config = { responseMimeType: 'application/json', ...schema };
      isCity(JSON.parse((await generate({ model, contents: 'Tell me about Paris', config })).text));
    }
  },

  async anImageIsSeen(model) {
    isEchoWithImage((await generate({ model, contents: [{ text: hello }, createPartFromBase64(pngBase64, 'image/png')] })).text);
  },

  async tokensAreCounted(model) {
    const count = async (contents) => (await client().models.countTokens({ model, contents })).totalTokens;
    const short = await count(hello);
    const long = await count(hello.repeat(100));
    assert.ok(0 < short && short < long, `${short} ${long}`);
  },

  async aModelIsListed(model) {
    const names = [];
    for await (const row of await client().models.list()) names.push(row.name);
    assert.ok(names.includes(`models/${model}`), names.join(' '));
    assert.equal((await client().models.get({ model })).name, `models/${model}`);
  },

  async aWrongKeyIsRefused(model) {
    const error = await raised(ApiError, () => client('nonsense').models.generateContent({ model, contents: hello }));
    assert.equal(error.status, 401);
    assert.match(error.message, /UNAUTHENTICATED/);
  },

  async theProvidersFailuresHaveTheirClasses(model) {
    const ways = ['generateContent', 'generateContentStream'];
    for (const way of ways) {
      const failed = (status) => raised(ApiError, () => client().models[way]({ model, contents: providerFails(status) }));
      const cases = [[429, [429], 'RESOURCE_EXHAUSTED'], [400, [400], 'INVALID_ARGUMENT'], [500, [500, 502], '']];
      for (const [status, statuses, word] of cases) {
        const error = await failed(status);
        assert.ok(statuses.includes(error.status) && error.message.includes(word), `${error.status} ${error.message}`);
      }
    }
  },

  // Leaving the loop does not end the SDK's request, a signal does.
  async whoHangsUpIsNoticed(model) {
    const hangUp = new AbortController();
    const stream = await client().models.generateContentStream({ model, contents: slowly, config: { abortSignal: hangUp.signal } });
    let identity;
    await assert.rejects(async () => {
      for await (const chunk of stream) {
        identity = chunk.responseId;
        hangUp.abort();
      }
    });
    await wasLeft(identity);
  },
};

const others = {
  async textsAreEmbedded() {
    const embed = async (contents) => (await client().models.embedContent({ model: geminiEmbedder, contents })).embeddings;
    const [one, two] = await embed(['one', 'two']);
    const [again] = await embed('two');
    assert.ok(one.values.length > 1);
    assert.deepEqual(again.values, two.values);
    assert.notDeepEqual(one.values, two.values);
  },

  async aModelThatIsNotThereIsNotFound() {
    const error = await raised(ApiError, () => generate({ model: unknown, contents: hello }));
    assert.equal(error.status, 404);
    assert.match(error.message, /NOT_FOUND/);
  },
};

await run([[models], promises], [[], others]);
