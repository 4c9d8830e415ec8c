// What the scripts of this folder share: where the gateway and the packages are, the words that its strict fake provider
// understands, and the runner. A script names its promises as functions; the runner says of each whether it was kept,
// one line each model and variant, and ends with "N passed, N failed". Words after the script's name choose promises by
// their lines. The environment is that of ../python/harness.py, and TOLLGATE_CLIENTS is the folder of the packages.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

// The packages lie in the folder that they were installed into, not beside this file.
export const load = createRequire(`${process.env.TOLLGATE_CLIENTS}/node/node_modules/`);

Error.stackTraceLimit = 4;
export const { z } = load('zod');

export const base = process.env.TOLLGATE_BASE_URL;
export const keys = JSON.parse(process.env.TOLLGATE_KEYS);
export const models = JSON.parse(process.env.TOLLGATE_MODELS);
export const embedder = 'strict/embed';
// Embeddings are not translated: Google's clients ask a model behind their own dialect.
export const geminiEmbedder = 'strict/embed-gemini';
export const unknown = 'strict/missing';

export const hello = 'Hello there';
// What the fake answers with a call of the tool, or with two side by side, and then with what the tools said.
export const oneCity = 'Please call get_weather({"city":"Paris"}) for me';
export const twoCities = 'Please call get_weather({"city":"Paris"}) and call get_weather({"city":"Oslo"}) for me';
export const twoSteps = 'Please call get_weather({"city":"Rome"}) for me';
export const weatherSchema = {
  type: 'object',
  properties: { city: { type: 'string', description: 'Name of the city' } },
  required: ['city'],
  additionalProperties: false,
};
export const City = z.object({ name: z.string(), population: z.int(), districts: z.array(z.string()) });
// So many milliseconds between the pieces of so many words: long enough to leave in the middle.
export const slowly = '!slow 100 !long 100';
// A request that the provider answers with this status.
export const providerFails = (status) => `!error ${status}`;

// Two times two pixels of one colour.
export const pngBase64 = 'iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGM4IScHRAwQCgAfJgQRoo8irwAAAABJRU5ErkJggg==';
export const png = Buffer.from(pngBase64, 'base64');
export const pngUri = `data:image/png;base64,${pngBase64}`;

// The tool that the fake is asked to call. In Rome it sends on to another city, which takes another step.
export const weather = (city) => `It rains in ${city}${city === 'Rome' ? ' then call get_weather({"city":"Oslo"})' : ''}`;

// Whether the answer is what the tool said of these cities since the last words of the caller.
export const areResults = (text, ...cities) => assert.equal(text, `results: ${cities.map(weather).join(' | ')}`);

// Whether the answer is the fake's echo of the caller's words.
export const isEcho = (text, words = hello) => assert.equal(text, `you said: ${words}`);

// Whether the fake also saw the picture.
export const isEchoWithImage = (text, words = hello) => isEcho(text, `${words} [image image/png ${png.length} bytes]`);

// Whether the value has the shape of the schema above.
export const isCity = (value) => City.parse(value);

// Whether the caller sees what the provider thought, if it is one that shows it.
export const areThoughts = (model, text) => assert.equal(text.includes('thinking about: '), model !== 'strict/openai-chat', text);

// The error of the call, which must be of this very class.
export async function raised(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor.name, kind.name, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail(`${kind.name} was not raised`);
}

// The gateway noticed that the caller had gone, and ended the provider's work; by the request's id or its answer's.
export async function wasLeft(identity) {
  const until = Date.now() + 10_000;
  for (;;) {
    const url = `${base}/v1/generation?id=${encodeURIComponent(identity)}`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${keys.good}` } });
    const record = await answer.json();
    if (answer.status === 200) {
      assert.equal(record.data.cancelled, true, JSON.stringify(record));
      return;
    }
    assert.ok(answer.status === 404 && Date.now() < until, `no record of ${identity}: ${JSON.stringify(record)}`);
    await sleep(100);
  }
}

// A promise that is never settled would end the process without a word.
async function within(limit, work) {
  const hangUp = new AbortController();
  const late = sleep(limit, null, { signal: hangUp.signal }).then(() => assert.fail(`not settled within ${limit} ms`));
  try {
    await Promise.race([work, late]);
  } finally {
    late.catch(() => {});
    hangUp.abort();
  }
}

function combinations(axes) {
  return axes.reduce((rows, axis) => rows.flatMap((row) => axis.map((value) => [...row, value])), [[]]);
}

// Keeps every promise of the list of [axes, promises by name], each for every combination of the values of its axes.
export async function run(...parts) {
  const words = process.argv.slice(2);
  let passed = 0;
  let failed = 0;
  for (const [axes, promises] of parts) {
    for (const [name, promise] of Object.entries(promises)) {
      for (const values of combinations(axes)) {
        const names = values.map((value) => value.title ?? value).join(' ');
        const line = names ? `${name} [${names}]` : name;
        if (!words.every((word) => line.includes(word))) continue;
        const started = Date.now();
        try {
          await within(60_000, promise(...values));
          passed += 1;
          console.log(`ok   ${line} ${((Date.now() - started) / 1000).toFixed(1)} s`);
        } catch (error) {
          failed += 1;
          console.log(`FAIL ${line}\n${error?.stack ?? error}\n`);
        }
      }
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed || !passed ? 1 : 0);
}
