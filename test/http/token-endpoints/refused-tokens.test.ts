import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { Json } from '../../../emulator/jws.ts'
import { type Reply, startWorld } from '../../support/broker.ts'
import { endpointRows, exchangeRow, tokenEndpointsOf } from '../../support/token-endpoints.ts'

/** What a caller, and the operator, learn about a token for another audience, or of another issuer. */

const world = await startWorld()
const { emulator } = world
const broker = await world.broker({ after })
const endpoints = await tokenEndpointsOf(world, broker)
const iss = emulator.callerIssuer
const apiKey = `tb_${'A'.repeat(49)}`
const textIn = ({ json }: Reply): string => String(json['detail'] ?? json['error_description'] ?? json['message'])

/** The last line about a refused caller, which is always that of an address of its own. */
const unverified = (at = broker) => at.events('caller.refused').at(-1)?.['unverified']

describe('a token for another audience or of another issuer', () => {
  for (const { endpoint, send } of [
    ...endpointRows,
    { endpoint: { name: 'oauth_token (token exchange)' }, send: exchangeRow },
  ])
    test(`${endpoint.name}: the response repeats its aud and its iss`, async () => {
      for (const claims of [{ aud: ['api://broker', 'x'] }, { iss: 'https://issuer.example/' }]) {
        const reply = await send(endpoints, { credential: await emulator.mintCallerToken(claims) })
        assert.ok([400, 401].includes(reply.status), reply.text)
        const [aud, issuer] = 'aud' in claims ? ['"api://broker", "x"', iss] : ['"token-broker"', claims.iss]
        const received = `It has the aud ${aud} and the iss "${issuer}".`
        assert.ok(textIn(reply).replaceAll("'", '"').includes(received), textIn(reply))
      }
    })

  test('the response has nothing of the policy', async () => {
    for (const claims of [{ aud: 'api://broker' }, { iss: 'https://issuer.example/', aud: 'x' }]) {
      const { json } = await broker.requestToken(undefined, { token: await emulator.mintCallerToken(claims) })
      const sent = Object.values({ iss, ...claims })
      const rest = sent.reduce((text, value) => text.replaceAll(value, ''), String(json['detail']))
      for (const own of ['token-broker', iss, 'emulator']) assert.ok(!rest.includes(own), rest)
    }
  })

  test('the response to every other refusal repeats nothing of the token', async () => {
    const token = await emulator.mintCallerToken({ sub: 'a-subject' }, { expiresIn: -3600 })
    const { text } = await broker.requestToken(undefined, { token })
    assert.match(text, /has expired/)
    for (const part of [iss, 'a-subject']) assert.ok(!text.includes(part), text)
  })
})

const attacks: readonly (readonly [claims: Json, shown: string, why: string])[] = [
  [{ aud: 'a"b\\c' }, String.raw`aud "a\"b\\c" and`, 'quotes end no value'],
  [{ aud: 'a\r\nset-cookie: b=c' }, String.raw`aud "a\r\nset-cookie: b=c" and`, 'a line break starts no header'],
  [{ aud: 'a\u202Eb\u0000' }, String.raw`aud "a\u202eb\u0000" and`, 'control characters are shown'],
  [{ aud: 'büro 中' }, 'aud "büro 中" and', 'letters beyond the characters of a header'],
  [{ aud: `x ${apiKey}` }, 'aud "x [redacted key]" and', 'an API key'],
  [{ aud: 'a'.repeat(3000) }, `aud "${'a'.repeat(128)}" (shortened) and`, 'a long text'],
  [{ aud: Array.from({ length: 90 }, () => 'a') }, 'aud "a", "a", "a" and 87 more and', 'many audiences'],
  [{ aud: [7, { a: 1 }, null] }, 'aud none and', 'no texts'],
  [{ aud: undefined }, 'aud none and', 'no audience'],
  [{ iss: 'i'.repeat(3000) }, `iss "${'i'.repeat(256)}" (shortened).`, 'a long issuer'],
  [{ iss: 7 }, 'iss none.', 'an issuer that is no text'],
  [{ iss: '__proto__' }, 'iss "__proto__".', 'a property of every object'],
]

describe('what is repeated is safe', () => {
  for (const [claims, shown, why] of attacks)
    test(why, async () => {
      const reply = await broker.requestToken(undefined, { token: await emulator.mintCallerToken(claims) })
      assert.equal(reply.status, 401, reply.text)
      assert.ok(textIn(reply).includes(shown), textIn(reply))
      assert.ok(reply.text.length < 2000)
      const header = String(reply.headers['www-authenticate'])
      assert.match(
        header,
        /^Bearer realm="token-broker", error="invalid_token", error_description="[ !#-[\]-~]{20,1000}"$/,
      )
      assert.equal(reply.headers['set-cookie'], undefined)
      assert.ok(!broker.logText().includes(apiKey))
    })
})

describe('the log has what the token says of itself, marked as unverified', () => {
  const attempt = async (t: Parameters<typeof world.broker>[0], claims: Json) => {
    const here = await world.broker(t)
    const token = await emulator.mintCallerToken(claims)
    await here.requestToken(undefined, { token })
    return unverified(here)
  }

  test('for an audience and for an issuer', async t => {
    const { keys } = emulator.callerJwks()
    const kid = keys.at(-1)?.kid
    assert.deepEqual(await attempt(t, { aud: 'api://x' }), { iss, aud: ['api://x'], kid })
    assert.deepEqual(await attempt(t, { iss: 'https://x' }), { iss: 'https://x', aud: ['token-broker'], kid })
  })

  test('for a wrong signature, too', async t => {
    const here = await world.broker(t)
    const token = await emulator.mintCallerToken()
    await here.requestToken(undefined, { token: `${token.slice(0, -8)}AAAAAAAA` })
    assert.equal(here.events('caller.refused').at(-1)?.['reason'], 'signature')
    assert.deepEqual(Object.keys((await unverified(here)) as object), ['iss', 'aud', 'kid'])
  })

  test('in short copies', async t => {
    const long = { aud: Array.from({ length: 9 }, () => 'b'.repeat(900)), iss: 'c'.repeat(900) }
    const logged = (await attempt(t, long)) as Json
    assert.deepEqual(
      [logged['iss'], logged['aud']],
      ['c'.repeat(128), Array.from({ length: 3 }, () => 'b'.repeat(128))],
    )
  })

  test('not for what is no JWT', async t => {
    const here = await world.broker(t)
    await here.requestToken(undefined, { token: 'nonsense' })
    assert.equal(here.events('caller.refused').length, 1)
    assert.equal(unverified(here), undefined)
  })
})
