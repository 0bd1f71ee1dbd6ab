import assert from 'node:assert/strict'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import { createAuthority } from '../../emulator/certificates.ts'
import { sample } from '../../emulator/options.ts'
import {
  graph,
  observers,
  policyOf,
  sampleCaller,
  startWorld,
  type TestBroker,
  trust,
  until,
} from '../support/broker.ts'
import { MemoryStore } from '../support/memory-second-level.ts'
import { readBoard } from './read-board.ts'

/**
 * What the page says of a broker in which one thing is broken on purpose: one sentence, and the first thing to do. The
 * broker is the real one, and the page's own functions read its responses.
 */

const world = await startWorld()
const { emulator, clock } = world
const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const audiences = ['token-broker']

/** Keys from a file: the user of the page is authenticated during every outage. */
async function issuers() {
  const jwksFile = join(folder, 'jwks.json')
  await writeFile(jwksFile, JSON.stringify(emulator.callerJwks()))
  const onprem = { issuer: `${emulator.callerIssuer}/onprem`, audiences, jwksUri: `${emulator.callerIssuer}/jwks` }
  return { emulator: { issuer: emulator.callerIssuer, audiences, jwksFile }, onprem }
}

interface Planted {
  readonly level: string
  readonly sentence: RegExp
  readonly first: RegExp
  readonly broker?: (t: TestContext) => Promise<TestBroker>
  /** Breaks one thing, after the broker has issued a token for contoso. */
  readonly plant: (broker: TestBroker) => Promise<unknown>
}

const startBroker = async (t: TestContext): Promise<TestBroker> =>
  world.broker(t, { policy: { issuers: await issuers() } })

/** Makes every request cause an exchange. */
const afterExpiry = async (broker: TestBroker) => {
  clock.advance(4000)
  await broker.requestToken()
}

/** The number of requests that the emulator has received, also of those that it holds. */
const exchanges = (): number => emulator.requests().length

const faults: Readonly<Record<string, Planted>> = {
  'the federated credential is wrong': {
    level: 'failing',
    sentence:
      /^The federated credential of application default does not match the managed identity \(AADSTS\d+\), so only cached tokens are issued/,
    first:
      /^No federated credential of application \S+ has the subject of the managed identity's token\. Set its subject to exactly/,
    plant: async broker => {
      emulator.fault({ kind: 'aadsts', code: 700213, at: 'token' })
      await broker.requestToken({ tenant: 'fabrikam', scope: graph })
    },
  },
  'a tenant has revoked its consent': {
    level: 'failing',
    sentence: /^Tenant fabrikam gets no new tokens: admin consent is missing or was revoked \(AADSTS7000229\)\.$/,
    first: /must consent at https:\/\/localhost:\d+\/[-0-9a-f]+\/adminconsent\?client_id=/,
    plant: async broker => {
      emulator.setConsent(sample.fabrikam, sample.application, false)
      await broker.requestToken({ tenant: 'fabrikam', scope: graph })
    },
  },
  'Entra is slow': {
    level: 'attention',
    sentence: /^Entra is slow: an exchange takes [\d.]+ s on average\.$/,
    first: /status page of Azure/,
    plant: async broker => {
      for (let nth = 0; nth < 3; nth++) {
        clock.advance(4000)
        const before = exchanges()
        const release = emulator.hold('token')
        const request = broker.requestToken()
        await until('the exchange has begun', () => exchanges() > before)
        clock.advance(4)
        release()
        await request
      }
    },
  },
  'the identity endpoint is unavailable': {
    level: 'failing',
    sentence: /^The managed identity issues no token, so only cached tokens are issued/,
    broker: async t => {
      const broker = await startBroker(t)
      emulator.configure({ identityTokenLife: 600 })
      emulator.renewIdentityToken()
      return broker
    },
    first: /^Restart the replica\. Do not set `IDENTITY_ENDPOINT`/,
    plant: async broker => {
      emulator.fault({ kind: 'reset', at: 'identity' })
      clock.advance(900)
      await broker.requestToken({ tenant: 'fabrikam', scope: graph })
    },
  },
  'Redis is gone': {
    level: 'attention',
    sentence:
      /^Redis has not responded since \S+, so each replica works alone: tokens are issued, but purges reach this replica only\.$/,
    first: /^Check that Redis runs/,
    broker: async t => {
      const replica = new MemoryStore(clock).replica()
      replica.cutOff()
      return world.broker(t, { policy: { issuers: await issuers() }, secondLevel: replica })
    },
    plant: () => Promise.resolve(),
  },
  'the new policy is refused': {
    level: 'attention',
    sentence:
      /^The new policy file is invalid, so the policy of \S+ stays active, and a restarted replica would not start\.$/,
    first: /^Correct the file, or put the previous one back/,
    broker: async t => {
      const file = join(folder, 'policy.yaml')
      await writeFile(file, JSON.stringify({ ...policyOf(emulator), issuers: await issuers() }))
      return world.broker(t, { policy: { issuers: await issuers() }, environment: { BROKER_POLICY_FILE: file } })
    },
    plant: async broker => {
      const file = join(folder, 'policy.yaml')
      await writeFile(file, 'rules: nonsense')
      await utimes(file, 0, 0)
      await broker.service.reload()
    },
  },
  "an issuer's keys are unavailable": {
    level: 'attention',
    sentence:
      /^The keys of issuer onprem cannot be fetched, and its callers are refused once the cached keys are an hour old\.$/,
    first: /^Read the issuer's discovery document or `jwksUri`/,
    plant: async broker => {
      emulator.fault({ kind: 'reset', at: 'callers' })
      // Then keys are fetched again on use.
      clock.advance(360)
      const token = await emulator.mintCallerToken({}, { issuer: `${emulator.callerIssuer}/onprem` })
      await broker.requestToken(undefined, { token })
    },
  },
  'the TLS certificate ends tomorrow': {
    level: 'attention',
    sentence: /^The TLS certificate CN=localhost ends in 2[34] h \(\S+ \S+ UTC\)\.$/,
    first: /^Replace the file/,
    broker: async t => {
      const authority = createAuthority('a CA')
      // By the broker's clock.
      const days = 1 + (clock.now() - Date.now()) / 86_400_000
      const { certPem, keyPem } = authority.issue({ days })
      trust(authority.caPem)
      const [TLS_CERT_FILE, TLS_KEY_FILE] = [join(folder, 'tls.pem'), join(folder, 'tls-key.pem')]
      await Promise.all([writeFile(TLS_CERT_FILE, certPem), writeFile(TLS_KEY_FILE, keyPem)])
      return world.broker(t, { environment: { TLS_CERT_FILE, TLS_KEY_FILE } })
    },
    plant: () => Promise.resolve(),
  },
  'one caller is at its limit': {
    level: 'attention',
    sentence:
      /^The caller sample-caller \(issuer emulator\), rule “sample”, is limited: more requests than its rule allows\.$/,
    first: /^That caller must keep its tokens for `refresh_in` seconds/,
    broker: async t => {
      const sampleRule = {
        name: 'sample',
        callers: [sampleCaller],
        tenants: ['contoso'],
        scopes: [graph],
        requestLimit: '2/m',
      }
      return world.broker(t, { policy: { issuers: await issuers(), rules: [sampleRule, observers] } })
    },
    plant: async broker => {
      for (let nth = 0; nth < 4; nth++) await broker.requestToken()
    },
  },
  "the broker's clock is wrong": {
    level: 'failing',
    sentence: /^The broker's clock is 4 min behind that of Entra, so tokens are refused as expired or not yet valid\.$/,
    first: /^Correct the time synchronisation \(NTP\) of the host/,
    plant: async broker => {
      emulator.configure({ clockAhead: 250 })
      await afterExpiry(broker)
    },
  },
}

describe('the sentence and the first thing to do', () => {
  for (const [what, { level, sentence, first, broker: start = startBroker, plant }] of Object.entries(faults))
    test(what, async t => {
      const broker = await start(t)
      t.after(() => {
        emulator.setConsent(sample.fabrikam, sample.application, true)
      })
      await broker.service.warmUp()
      await broker.requestToken()
      await plant(broker)
      const board = await readBoard(broker, clock.now())
      assert.match(board.sentence, sentence)
      assert.equal(board.level, level)
      assert.match(board.first, first)
    })

  test('nothing is wrong', async t => {
    const broker = await startBroker(t)
    await broker.service.warmUp()
    await broker.requestToken()
    const { level, word, sentence, found } = await readBoard(broker, clock.now())
    assert.deepEqual([level, word, found], ['ok', 'All well', []])
    assert.equal(sentence, 'Tokens are issued, and nothing needs attention.')
  })
})
