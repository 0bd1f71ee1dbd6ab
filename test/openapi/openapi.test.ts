import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import type { FastifyInstance } from 'fastify'
import { openapiText } from '../../openapi/build.ts'
import { errorTable } from '../../src/errors.ts'
import { problemDetails } from '../../src/http/server/problems.ts'
import { tokenEndpoints } from '../../src/http/token-endpoints/all.ts'
import { startWorld } from '../support/broker.ts'
import { assertFits, codesOf, document, exampleOf, isOfOthers, operations, problemsOf, responseOf } from './document.ts'
import { read } from '../support/sources.ts'

/** The routes of every server that is made from now on, as `POST /tokens`. */
const routes = new Set<string>()
subscribe('fastify.initialization', message => {
  const { fastify } = message as { fastify: FastifyInstance }
  fastify.addHook('onRoute', ({ method, url }) => {
    // The path with a slash at its end is no other operation.
    for (const each of [method].flat())
      routes.add(`${each} ${url.replaceAll(/:(\w+)/g, '{$1}').replace(/(?<=.)\/$/, '')}`)
  })
})

const documented = operations.map(({ method, path }) => `${method} ${path}`).toSorted()
const root = join(import.meta.dirname, '../..')
const run = promisify(execFile)

test('openapi.yaml is up to date with openapi/build.ts', async () => {
  assert.equal(read('openapi.yaml'), await openapiText(), 'run "npm run openapi"')
})

describe('it has every route of the broker, and no other', async () => {
  const world = await startWorld()
  const listeners = [
    ['one listener', {}],
    ['a management listener', { MANAGEMENT_PORT: '9090' }],
  ] as const
  for (const [what, environment] of listeners) {
    test(`with ${what}`, async t => {
      routes.clear()
      await world.broker(t, { environment })
      assert.deepEqual([...routes].toSorted(), documented)
    })
  }
})

describe('it has every error', () => {
  const listed = operations.flatMap(({ responses }) => Object.entries(responses))

  test('every code of the table has an example, and no other code has one', () => {
    const codes = new Set(listed.flatMap(([, response]) => problemsOf(response).map(({ code }) => String(code))))
    assert.deepEqual([...codes].toSorted(), Object.keys(errorTable).toSorted())
  })

  test('each is listed under its status, with its title', () => {
    for (const [status, response] of listed) {
      for (const { code, status: own, title } of problemsOf(response)) {
        const row = Object.entries(errorTable).find(([name]) => name === code)?.[1]
        assert.deepEqual([own, title], [row?.status, row?.title])
        if (status !== 'default') assert.equal(String(own), status)
      }
    }
  })

  test('operations list the errors of credentials if they need a credential, and only then', () => {
    for (const operation of operations.filter(each => !isOfOthers(each))) {
      const codes = codesOf(operation)
      for (const code of ['unauthenticated', 'invalid_token', 'issuer_unavailable']) {
        assert.equal(codes.includes(code), operation.security.length > 0, `${operation.operationId} ${code}`)
      }
    }
  })
})

describe('every error is problem details, except in other protocols', () => {
  const others = tokenEndpoints().filter(({ protocol }) => protocol !== problemDetails)
  const inOtherProtocols = new Set([...others.map(({ operationId }) => operationId), 'getOpenIdConfiguration'])
  // GET /readyz has a 503 that is not an error.
  for (const { operationId, responses } of operations.filter(each => each.operationId !== 'getReadiness'))
    test(operationId, () => {
      const mediaTypes = Object.entries(responses)
        .filter(([status]) => Number(status) >= 400)
        .flatMap(([, response]) => Object.keys(responseOf(response).content))
      const expected = inOtherProtocols.has(operationId) ? 'application/json' : 'application/problem+json'
      assert.deepEqual(new Set(mediaTypes), new Set([expected]))
    })
})

describe('its examples match its schemas', () => {
  for (const { operationId, requestBody, responses, parameters = [] } of operations) {
    test(operationId, () => {
      const { schema = {}, examples = {} } = Object.values(requestBody?.content ?? {})[0] ?? {}
      for (const [name, { value }] of Object.entries(examples)) assertFits(schema, value, name)
      for (const parameter of parameters) {
        for (const { value } of Object.values(parameter.examples)) assertFits(parameter.schema, value, parameter.name)
      }
      for (const response of Object.values(responses)) {
        for (const content of Object.values(responseOf(response).content)) {
          for (const [name, example] of Object.entries(content.examples ?? {})) {
            assertFits(content.schema, exampleOf(example).value, name)
          }
        }
      }
    })
  }

  test('request bodies are closed, response bodies are open', () => {
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      // Forms of other protocols may have fields that clients add.
      assert.equal(schema['additionalProperties'], !name.endsWith('Request'), name)
    }
  })
})

test('redocly lint finds no problem, without a network', async () => {
  const networkOff = join(root, 'test/support/network-off.ts')
  const redocly = join(root, 'node_modules/@redocly/cli/bin/cli.js')
  const env = { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' }
  const args = ['--import', networkOff, redocly, 'lint', 'openapi.yaml', '--format=json']
  const { stdout } = await run(process.execPath, args, { cwd: root, env, timeout: 60_000 }).catch(
    (thrown: { stdout?: string; stderr?: string }) => assert.fail(`${thrown.stdout}${thrown.stderr}`),
  )
  const { totals } = JSON.parse(stdout) as { totals: unknown }
  // The one in .redocly.lint-ignore.yaml.
  assert.deepEqual(totals, { errors: 0, warnings: 0, ignored: 1 })
})
