import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { authorizeByFlags, policyOfFlags } from '../../src/agent/flag-policy.ts'
import { createSecretAuthenticate } from '../../src/broker/authentication/local-secret.ts'
import { requirePermission } from '../../src/broker/authorization/authorize-operation.ts'
import type { TokenRequest } from '../../src/broker/policy/model.ts'
import { arm, callerWith, graph } from '../support/callers.ts'

const secret = 'a-secret-of-256-bits-in-base64url-0123456789'
const policy = policyOfFlags('contoso')
const holder = await createSecretAuthenticate(secret, policy)(secret)
const clientId = '6f3c0b1e-9d2a-4c55-8a10-0d5b7e6f1a01'
const requestOf = (changes: Partial<TokenRequest> = {}): TokenRequest => ({
  tenant: 'contoso',
  scope: graph,
  application: 'default',
  minExpiresIn: 0,
  ...changes,
})

describe('the holder of the secret is granted every scope and application in the one tenant', () => {
  for (const application of ['default', 'reporting', clientId])
    test(`of the application ${application}, which only the broker knows`, () => {
      const grant = authorizeByFlags('contoso')(holder, requestOf({ application }))
      assert.deepEqual(
        [grant.tenant, grant.scope, grant.application, grant.clientId, grant.rule, grant.policyVersion],
        ['contoso', graph, application, application, '--tenant contoso', policy.version],
      )
    })

  test('a repeated request is a look-up, not a decision: the same grant', () => {
    const authorize = authorizeByFlags('contoso')
    const first = authorize(holder, requestOf())
    assert.equal(authorize(holder, requestOf()), first)
    for (const other of [{ scope: arm }, { application: 'reporting' }]) {
      const grant = authorize(holder, requestOf(other))
      assert.notEqual(grant, first)
      assert.notEqual(grant.key, first.key)
      assert.equal(authorize(holder, requestOf(other)), grant)
    }
  })
})

test('another tenant is refused, also after the one was granted', () => {
  const authorize = authorizeByFlags('contoso')
  authorize(holder, requestOf())
  for (const tenant of ['fabrikam', 'Contoso', clientId])
    assert.throws(() => authorize(holder, requestOf({ tenant })), { code: 'not_permitted', reason: 'unknown_target' })
})

test('no other caller is granted anything', async () => {
  const stranger = await callerWith({}, policy)
  assert.throws(() => authorizeByFlags('contoso')(stranger, requestOf()), { code: 'not_permitted' })
})

test('the holder may look at the agent, and make it forget nothing', () => {
  requirePermission(policy, holder, 'observe')
  assert.throws(() => requirePermission(policy, holder, 'purge'), { code: 'not_permitted' })
})
