import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import { send, claims, emulate, object } from './client.ts'

test('a valid token verifies against the published keys of every named issuer', async t => {
  const emulator = await emulate(t)
  for (const issuer of [emulator.callerIssuer, `${emulator.callerIssuer}/second`]) {
    const document = object((await send(`${issuer}/.well-known/openid-configuration`)).text)
    assert.equal(document['issuer'], issuer)
    const keys = createLocalJWKSet(JSON.parse((await send(String(document['jwks_uri']))).text))
    const { payload } = await jwtVerify(await emulator.mintCallerToken({}, { issuer }), keys, {
      issuer,
      audience: 'token-broker',
    })
    assert.equal(Number(payload.exp) - Number(payload.iat), 3600)
  }
})

test('foreign and retired keys do not verify, and `none` has no signature', async t => {
  const emulator = await emulate(t)
  const verify = (token: string): Promise<unknown> => jwtVerify(token, createLocalJWKSet(emulator.callerJwks()))
  const foreign = await emulator.mintCallerToken({}, { key: 'foreign' })
  assert.equal(decodeProtectedHeader(foreign).kid, emulator.callerJwks().keys[0]?.kid)
  await assert.rejects(verify(foreign), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
  await assert.rejects(verify(await emulator.mintCallerToken({}, { key: 'retired' })), {
    code: 'ERR_JWKS_NO_MATCHING_KEY',
  })
  assert.ok((await emulator.mintCallerToken({}, { header: { alg: 'none' } })).endsWith('.'))
})

test('rotation keeps the old key until it is dropped', async t => {
  const emulator = await emulate(t)
  const verify = (token: string): Promise<unknown> => jwtVerify(token, createLocalJWKSet(emulator.callerJwks()))
  const old = await emulator.mintCallerToken()
  const kid = await emulator.rotateCallerKeys()
  assert.equal(decodeProtectedHeader(await emulator.mintCallerToken()).kid, kid)
  await verify(old)
  await emulator.rotateCallerKeys({ drop: true })
  await assert.rejects(verify(old))
  assert.equal(emulator.callerJwks().keys.length, 1)
  const retired = await emulator.mintCallerToken({}, { key: 'retired' })
  assert.equal(decodeProtectedHeader(retired).kid, kid)
})

test('claims can be replaced, added and omitted', async t => {
  const emulator = await emulate(t)
  const token = await emulator.mintCallerToken({ sub: 'a', roles: ['x'] }, { omit: ['exp'], expiresIn: -1 })
  const payload = claims(token)
  assert.deepEqual([payload['sub'], payload['roles'], 'exp' in payload], ['a', ['x'], false])
})
