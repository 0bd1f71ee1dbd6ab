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
  readonly level: 'failing' | 'partial' | 'attention'
  readonly sentence: RegExp
  readonly first: RegExp
  readonly affected: RegExp
  readonly tile: string
  readonly word: RegExp
  readonly facts?: RegExp
  /** What must be read before the first action. Default: nothing. */
  readonly warnings?: RegExp
  /** What the broker does by itself. Default: nothing. */
  readonly recovery?: RegExp
  /** Until when cached tokens last. Default: nothing. */
  readonly deadline?: RegExp
}

const shown: Readonly<Record<FaultName, Shown>> = {
  'the federated credential is wrong': {
    level: 'failing',
    sentence:
      /^The federated credential of application default does not match the managed identity \(AADSTS\d+\), so only cached tokens are issued/,
    first:
      /^No federated credential of application \S+ has the subject of the managed identity's token\. If the broker is meant to have this identity, set the credential's subject to exactly/,
    affected:
      /^every request for a new token of application default, of all tenants, since \S+ UTC \(less than a minute\)$/,
    warnings: /^Do not restart the replica now\. A restart loses 1 cached token/,
    recovery: /tries again by itself, at most 30 s after .* No restart and no purge is necessary\.$/,
    deadline: /^The first cached token expires at (\S+ )?\d\d:\d\d UTC \(in \d+ min\)$/,
    tile: 'Entra',
    word: /^credential refused$/,
    facts:
      /^Issuer https:\S+\/v2\.0\nSubject 20000000-0000-4000-8000-00000000000b\nAudience api:\/\/AzureADTokenExchange$/,
  },
  'a tenant has revoked its consent': {
    level: 'partial',
    sentence: /^Tenant fabrikam gets no new tokens: admin consent is missing or was revoked \(AADSTS7000229\)\.$/,
    first: /must consent at https:\/\/localhost:\d+\/[-0-9a-f]+\/adminconsent\?client_id=/,
    affected: /^requests for new tokens of tenant fabrikam only\. Other tenants get tokens, since \S+ UTC/,
    recovery: /tries again by itself, .* No purge is necessary\.$/,
    tile: 'Tenants',
    word: /^1 failing$/,
  },
  'Entra is slow': {
    level: 'attention',
    sentence: /^Entra is slow: exchanges take [\d.]+ s or more on average\.$/,
    first: /status page of Azure/,
    affected: /^requests that need a new token, which wait\. Cached tokens are issued at once$/,
    tile: 'Entra',
    word: /^slow$/,
  },
  'the identity endpoint is unavailable': {
    level: 'failing',
    sentence: /^The managed identity issues no token, so only cached tokens are issued/,
    warnings:
      /^Do not restart the replica now\. A restart loses 1 cached token .*\. After a restart, the replica gets no requests until the managed identity issues a token\.$/,
    first: /^Check that the configuration does not set `IDENTITY_ENDPOINT`/,
    affected: /^every request that needs a new token, of all tenants, since/,
    recovery: /tries again by itself/,
    deadline: /^(The first|A) cached token .*expires at (\S+ )?\d\d:\d\d UTC \(in \d+ min\)$/,
    tile: 'Managed identity',
    word: /^no token$/,
    facts: /^Address http:\/\/\S+:\d+\nLast error The identity endpoint could not be reached\. ECONNRESET$/,
  },
  'Redis is gone': {
    level: 'attention',
    sentence:
      /^Redis does not respond, so each replica works alone: tokens are issued, but a purge reaches one replica only\.$/,
    first: /^Check that Redis runs/,
    affected:
      /^no request for a token\. Replicas fetch the same tokens several times, and purges are incomplete, since/,
    warnings: /^Redis does not respond, so a purge reaches this replica only\. /,
    recovery: /^The broker connects again by itself/,
    tile: 'Redis',
    word: /^unavailable$/,
    facts: /^Address redis\.example:10000\nLast error does not respond$/,
  },
  'the new policy is refused': {
    level: 'attention',
    sentence: /^The new policy file is invalid, so the policy of \S+ UTC stays active\.$/,
    first: /^Correct the file, or put the previous one back/,
    affected: /^no request yet, but a replica that restarts or is added does not start, since/,
    warnings: /^Do not restart or add replicas now\./,
    recovery: /^The broker reads the file again by itself/,
    tile: 'Policy',
    word: /^new file refused$/,
    facts: /^Path \/\S+\/policy\.yaml\n(.*\n)?rules /,
  },
  "an issuer's keys are unavailable": {
    level: 'attention',
    sentence:
      /^The keys of issuer onprem cannot be fetched, and its callers are refused from (\S+ )?\d\d:\d\d(:\d\d)? UTC, when the cached keys are an hour old\.$/,
    first: /^Read the issuer's discovery document or `jwksUri`/,
    affected: /^no request yet; then every caller of issuer onprem, from (\S+ )?\S+ UTC \(in 54 min\)$/,
    warnings:
      /^Do not restart the replica now\. A restart loses the cached keys of issuer onprem, so its callers would be refused at once\.$/,
    recovery: /fetches the keys again by itself/,
    tile: 'Issuers',
    word: /^keys unavailable$/,
    facts: /^Issuer onprem http:\S+\/jwks could not be read: /,
  },
  'the TLS certificate ends tomorrow': {
    level: 'attention',
    sentence: /^The TLS certificate CN=localhost expires in 2[34] h \(\S+ \S+ UTC\)\.$/,
    first: /^Replace the file/,
    affected: /^no request yet; then every caller that connects with TLS, from \S+ \S+ UTC \(in 2[34] h\)$/,
    tile: 'This replica',
    word: /^certificate expires soon$/,
    recovery: /^The broker reads the file again by itself/,
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
    affected: /^no request yet$/,
    recovery: /^The next exchange with Entra measures/,
    tile: 'This replica',
    word: /^clock 4 min behind$/,
  },
}

describe('the sentence, the first thing to do, who is affected, and the tile with its colour', () => {
  for (const [what, { level, sentence, first, affected, tile, word, ...others }] of Object.entries(shown))
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
      for (const each of ['facts', 'warnings', 'recovery', 'deadline'] as const)
        assert.match(board[each], others[each] ?? /^$/, each)
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
