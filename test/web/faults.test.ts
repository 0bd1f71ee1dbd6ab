import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startWorld } from '../support/broker.ts'
import { way } from '../../web/model/way.js'
import { type FaultName, plantedFaults } from './planted-faults.ts'
import { readBoard } from './read-board.ts'

/**
 * What the page says of a broker in which one thing is broken on purpose: one sentence, the first thing to do, who is
 * affected, and the tile that has the colour of the sentence. The broker is the real one, and the page's own functions read
 * its responses.
 */

const world = await startWorld()
const { clock } = world
const faults = await plantedFaults(world)

interface Shown {
  readonly level: 'failing' | 'attention'
  readonly sentence: RegExp
  readonly first: RegExp
  readonly affected: RegExp
  readonly tile: string
  readonly word: RegExp
  readonly facts?: RegExp
}

const shown: Readonly<Record<FaultName, Shown>> = {
  'the federated credential is wrong': {
    level: 'failing',
    sentence:
      /^The federated credential of application default does not match the managed identity \(AADSTS\d+\), so only cached tokens are issued/,
    first:
      /^No federated credential of application \S+ has the subject of the managed identity's token\. Set its subject to exactly/,
    affected: /^every request for a new token of application default, since \S+ UTC \(less than a minute\)$/,
    tile: 'Entra',
    word: /^credential refused$/,
    facts:
      /^Issuer https:\S+\/v2\.0\nSubject 20000000-0000-4000-8000-00000000000b\nAudience api:\/\/AzureADTokenExchange$/,
  },
  'a tenant has revoked its consent': {
    level: 'failing',
    sentence: /^Tenant fabrikam gets no new tokens: admin consent is missing or was revoked \(AADSTS7000229\)\.$/,
    first: /must consent at https:\/\/localhost:\d+\/[-0-9a-f]+\/adminconsent\?client_id=/,
    affected: /^requests for new tokens of tenant fabrikam, since \S+ UTC/,
    tile: 'Tenants',
    word: /^1 failing$/,
  },
  'Entra is slow': {
    level: 'attention',
    sentence: /^Entra is slow: an exchange takes [\d.]+ s \(mean, mostly of the last 5\)\.$/,
    first: /status page of Azure/,
    affected: /^requests that need a new token; cached ones are issued at once, as of now$/,
    tile: 'Entra',
    word: /^slow$/,
  },
  'the identity endpoint is unavailable': {
    level: 'failing',
    sentence: /^The managed identity issues no token, so only cached tokens are issued/,
    first: /^A restart loses 1 cached token of this replica: without Redis, each must be fetched again/,
    affected: /^every request that needs a new token, since/,
    tile: 'Managed identity',
    word: /^no token$/,
    facts: /^Last error The identity endpoint could not be reached\.$/,
  },
  'Redis is gone': {
    level: 'attention',
    sentence:
      /^Redis has not responded since \S+ UTC, so each replica works alone: tokens are issued, but purges reach this replica only\.$/,
    first: /^Check that Redis runs/,
    affected: /^purges, and the number of exchanges; no request for a token, since/,
    tile: 'Redis',
    word: /^unavailable$/,
    facts: /^Address redis\.example:10000\nState not connected$/,
  },
  'the new policy is refused': {
    level: 'attention',
    sentence:
      /^The new policy file is invalid, so the policy of \S+ UTC stays active, and a restarted replica would not start\.$/,
    first: /^Correct the file, or put the previous one back/,
    affected: /^no request yet, but every replica that starts, since/,
    tile: 'Policy',
    word: /^new file refused$/,
    facts: /^Path \/\S+\/policy\.yaml$/,
  },
  "an issuer's keys are unavailable": {
    level: 'attention',
    sentence:
      /^The keys of issuer onprem cannot be fetched, and its callers are refused once the cached keys are an hour old\.$/,
    first: /^Read the issuer's discovery document or `jwksUri`/,
    affected: /^callers of issuer onprem, from \S+ UTC \(in 54 min\)$/,
    tile: 'Issuers',
    word: /^keys unavailable$/,
    facts: /^Issuer onprem http:\S+\/jwks could not be read: /,
  },
  'the TLS certificate ends tomorrow': {
    level: 'attention',
    sentence: /^The TLS certificate CN=localhost ends in 2[34] h \(\S+ \S+ UTC\)\.$/,
    first: /^Replace the file/,
    affected: /^every caller that connects with TLS, from \S+ \S+ UTC \(in 2[34] h\)$/,
    tile: 'This replica',
    word: /^certificate ends soon$/,
    facts: /^Path \/\S+\/tls\.pem$/,
  },
  'one caller is at its limit': {
    level: 'attention',
    sentence: /^The caller sample-caller \(issuer emulator\), rule “sample”, is limited to 2 requests per minute\.$/,
    first: /^That caller must keep its tokens for `refresh_in` seconds/,
    affected: /^requests of sample-caller \(issuer emulator\) above the limit \(3 in the last minute\), since/,
    tile: 'Policy',
    word: /^1 caller limited$/,
  },
  "the broker's clock is wrong": {
    level: 'attention',
    sentence:
      /^The broker's clock is 4 min behind that of Entra, so tokens can be refused as expired or not yet valid\.$/,
    first: /^Correct the time synchronisation \(NTP\) of the host/,
    affected: /^no request yet, as of now$/,
    tile: 'This replica',
    word: /^clock 4 min behind$/,
  },
}

describe('the sentence, the first thing to do, who is affected, and the tile with its colour', () => {
  for (const [what, { level, sentence, first, affected, tile, word, facts = /^$/ }] of Object.entries(shown))
    test(what, async t => {
      const { start, plant } = faults[what as FaultName]
      const broker = await start(t)
      await broker.service.warmUp()
      await broker.requestToken()
      await plant(broker)
      const board = await readBoard(broker, clock.now())
      assert.match(board.sentence, sentence)
      assert.equal(board.level, level)
      assert.match(board.first, first)
      assert.match(board.affected, affected)
      assert.match(board.facts, facts)
      const coloured = way(board.snapshot, board.found).filter(({ level: colour }) => colour !== 'ok')
      assert.deepEqual(
        coloured.filter(({ level: colour }) => colour !== 'unknown').map(({ title, level: colour }) => [title, colour]),
        [[tile, level]],
      )
      assert.match(coloured.find(({ title }) => title === tile)?.word ?? '', word)
    })

  test('nothing is wrong', async t => {
    const broker = await faults['Entra is slow'].start(t)
    await broker.service.warmUp()
    await broker.requestToken()
    const { level, word, sentence, found, snapshot } = await readBoard(broker, clock.now())
    assert.deepEqual([level, word, found], ['ok', 'All well', []])
    assert.equal(sentence, 'Tokens are issued, and nothing needs attention.')
    assert.ok(way(snapshot, found).every(tile => ['ok', 'unknown'].includes(tile.level)))
  })
})
