import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readTokenSettings } from '../../src/caller/token-settings.ts'
import { bodyOf, receivedToken, type RequestedToken } from '../../src/caller/tokens-request.ts'
import { InvalidConfigurationError } from '../../src/errors.ts'

const scope = 'https://graph.microsoft.com/.default'
const flags = { broker: 'https://broker.example', tenant: 'contoso', scope, 'token-file': '/token' }
const id = '6F3C0B1E-0000-4000-8000-000000000009'

describe('--agent', () => {
  const accepted: readonly (readonly [agent: string, sent: string, why: string])[] = [
    ['helper', 'helper', 'a name'],
    [id, id.toLowerCase(), 'an id in lower case, as the broker repeats it'],
  ]
  for (const [agent, sent, why] of accepted)
    test(`${agent}: ${why}`, () => {
      const { requested } = readTokenSettings({ ...flags, agent }, {})
      assert.deepEqual(JSON.parse(bodyOf(requested)), { tenant: 'contoso', scope, agent: sent })
    })

  const refused: readonly (readonly [given: Readonly<Record<string, string>>, what: RegExp])[] = [
    [{ agent: 'helper', application: 'default' }, /cannot be combined with --application/],
    [{ agent: 'Helper' }, /must be an agent identity's name/],
    [{ agent: '' }, /must be an agent identity's name/],
    [{ agent: 'a b' }, /must be an agent identity's name/],
  ]
  for (const [given, what] of refused)
    test(`refused: ${JSON.stringify(given)}`, () => {
      assert.throws(
        () => readTokenSettings({ ...flags, ...given }, {}),
        (thrown: unknown) => {
          assert.ok(thrown instanceof InvalidConfigurationError)
          assert.deepEqual(
            thrown.errors.map(({ where }) => where),
            ['--agent'],
          )
          assert.match(thrown.errors[0]?.what ?? '', what)
          return true
        },
      )
    })
})

describe('a response is compared with the agent identity that was requested', () => {
  const body = { access_token: 'opaque', token_type: 'Bearer', expires_in: 60, tenant: 'x', scope }
  const table: readonly (readonly [client: object, response: object, accepted: boolean, why: string])[] = [
    [{ agent: 'helper' }, { application: 'assistants', agent: 'helper' }, true, 'the one that was requested'],
    [{ agent: 'helper' }, { agent: 'helper' }, true, 'of an agent, which does not know the blueprint'],
    [{ agent: 'helper' }, { application: 'assistants', agent: 'second' }, false, 'another agent identity'],
    [{ agent: 'helper' }, { application: 'helper' }, false, 'an application of the same name'],
    [
      { agent: id.toLowerCase() },
      { application: 'assistants', agent: 'helper' },
      true,
      'an id, which the broker names',
    ],
    [{ application: 'assistants' }, { application: 'assistants' }, true, 'an application'],
    [{ application: 'assistants' }, { application: 'assistants', agent: 'helper' }, false, 'not its agent identity'],
    [{ application: id.toLowerCase() }, { application: 'assistants', agent: 'helper' }, true, 'an id of any client'],
  ]
  for (const [client, response, accepted, why] of table)
    test(`${accepted}: ${why}`, () => {
      const requested: RequestedToken = { tenant: 'contoso', scope, application: 'default', ...client }
      const receive = () => receivedToken(requested, JSON.stringify({ ...body, ...response }))
      if (accepted) assert.doesNotThrow(receive)
      else assert.throws(receive, { code: 'upstream_invalid', reason: 'wrong_application' })
    })
})
