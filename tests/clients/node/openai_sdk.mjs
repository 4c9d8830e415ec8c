// The official OpenAI SDK for Node against a running Tollgate: what its users rely on, seen with their eyes.
// Addresses and keys come from the environment; tests/it/sdks.rs sets them up and runs this file.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

// The packages lie in the folder that the test installed them into, not beside this file.
const require = createRequire(`${process.env.TOLLGATE_NODE_MODULES}/`);
const OpenAI = require('openai').default ?? require('openai');

const { TOLLGATE_BASE_URL: base, TOLLGATE_MODEL: model } = process.env;
const keys = JSON.parse(process.env.TOLLGATE_KEYS);
const messages = [{ role: 'user', content: 'Hello there' }];

const client = (key = 'good') => new OpenAI({ baseURL: `${base}/v1`, apiKey: keys[key] ?? key, maxRetries: 0, timeout: 30_000 });

async function raised(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.equal(error.constructor.name, kind.name, `${error.constructor.name}: ${error.message}`);
    return error;
  }
  assert.fail(`${kind.name} was not raised`);
}

const promises = {
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
    const spender = client('budgetNode');
    const error = await raised(OpenAI.PermissionDeniedError, async () => {
      for (let at = 0; at < 200; at += 1) await spender.chat.completions.create({ model, messages, max_tokens: 50 });
    });
    assert.equal(error.code, 'key_limit_exceeded');
  },

  async aRateLimitHasItsHeaders() {
    const limited = client('rateNode');
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
    await promises.chatAnswers();
  },
};

let failed = 0;
for (const [name, promise] of Object.entries(promises)) {
  try {
    await promise();
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}\n${error.stack}`);
  }
}
console.log(`${Object.keys(promises).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
