import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { managed } from '../support/settings.ts'

const [client, issuer, scope] = ['BROKER_DASHBOARD_CLIENT_ID', 'BROKER_DASHBOARD_ISSUER', 'BROKER_DASHBOARD_SCOPE']
const dashboardOf = (environment: Environment) => readConfig({ ...managed, ...environment }).dashboard

test('without a client id people paste a credential; with it, the rest is optional', () => {
  assert.equal(dashboardOf({}), undefined)
  assert.deepEqual(dashboardOf({ [client]: 'spa' }), { clientId: 'spa', issuer: undefined, scope: undefined })
  assert.deepEqual(dashboardOf({ [client]: 'spa', [issuer]: 'entra', [scope]: 'api://broker/.default' }), {
    clientId: 'spa',
    issuer: 'entra',
    scope: 'api://broker/.default',
  })
})

describe('is refused', () => {
  const rows: readonly (readonly [environment: Environment, error: RegExp])[] = [
    [{ [issuer]: 'entra' }, /^BROKER_DASHBOARD_ISSUER: has no effect without BROKER_DASHBOARD_CLIENT_ID$/],
    [{ [scope]: 'openid' }, /^BROKER_DASHBOARD_SCOPE: has no effect without BROKER_DASHBOARD_CLIENT_ID$/],
    [{ [client]: 'a client' }, /^BROKER_DASHBOARD_CLIENT_ID: must be a client id/],
    [{ [client]: 'a'.repeat(256) }, /^BROKER_DASHBOARD_CLIENT_ID: must be a client id of at most 255/],
    [{ [client]: 'spa', [scope]: 'a  b' }, /^BROKER_DASHBOARD_SCOPE: must be at most 10 scopes/],
    [{ [client]: 'spa', [scope]: 'a"b' }, /^BROKER_DASHBOARD_SCOPE: must be/],
    [{ [client]: 'spa', [scope]: Array.from({ length: 11 }, (_, nth) => `s${nth}`).join(' ') }, /at most 10 scopes/],
  ]
  for (const [environment, error] of rows)
    test(JSON.stringify(environment), () => {
      const errors = configurationErrorsOf({ ...managed, ...environment })
      assert.equal(errors.length, 1)
      assert.match(errors[0] ?? '', error)
    })

  test('a token in the place of a client id, which is not repeated', () => {
    const token = `eyJhbGciOiJub25lIn0.${'a'.repeat(40)}.${'b'.repeat(40)}`
    const errors = configurationErrorsOf({ ...managed, [client]: token })
    assert.match(errors.join(), /looks like a token/)
    assert.ok(!errors.join().includes(token))
  })
})
