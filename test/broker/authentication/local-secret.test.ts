import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { policyOfFlags } from '../../../src/agent/flag-policy.ts'
import { createSecretAuthenticate } from '../../../src/broker/authentication/local-secret.ts'

const secret = 'a-secret-of-256-bits-in-base64url-0123456789'
const policy = policyOfFlags('contoso')
const authenticate = createSecretAuthenticate(secret, policy)

test('the secret authenticates one caller, always the same', async () => {
  const caller = await authenticate(secret)
  assert.deepEqual([caller.kind, caller.policy], ['secret', policy])
  assert.equal(await authenticate(secret), caller)
  assert.ok(!JSON.stringify(caller).includes(secret))
})

describe('every other credential is refused', () => {
  const others: readonly (readonly [why: string, credential: string])[] = [
    ['nothing', ''],
    ['a character less', secret.slice(0, -1)],
    ['a character more', `${secret}x`],
    ['another case', secret.toUpperCase()],
    ['another last character', `${secret.slice(0, -1)}8`],
    ['the secret twice, as a repeated header is joined', `${secret}, ${secret}`],
  ]
  for (const [why, credential] of others)
    test(why, () => assert.rejects(async () => authenticate(credential), { code: 'invalid_token' }))
})
