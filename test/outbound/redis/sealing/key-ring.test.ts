import assert from 'node:assert/strict'
import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { followKeyRing, parseKeyRing } from '../../../../src/outbound/redis/sealing/key-ring.ts'
import { InvalidConfigurationError, messageOf } from '../../../../src/errors.ts'
import { until } from '../../../support/broker.ts'
import { cacheKeyLine } from '../../../support/cache-keys.ts'

const [one, two] = [cacheKeyLine('one'), cacheKeyLine('two')]
const key = one.slice(4)

async function fileOf(t: TestContext, text: string, mode = 0o600): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'keys')
  await writeFile(path, text)
  await chmod(path, mode)
  return path
}

test('the keys are in the order of the lines, each with a key for values and another for names', () => {
  for (const text of [`${one}\n${two}\n`, `${one}\n${two}`, `${one}\r\n${two}\r\n\r\n`]) {
    const { keys } = parseKeyRing(text)
    assert.deepEqual(
      keys.map(({ kid }) => kid),
      ['one', 'two'],
    )
    const secrets = keys
      .flatMap(({ sealing, naming }) => [sealing, naming])
      .map(each => each.export().toString('base64'))
    assert.equal(new Set([...secrets, key, two.slice(4)]).size, 6, 'no derived key is the key itself, or another one')
  }
})

test('a ring has ten keys at most', () => {
  const lines = Array.from({ length: 11 }, (_, nth) => cacheKeyLine(`k${nth}`))
  assert.equal(parseKeyRing(lines.slice(0, 10).join('\n')).keys.length, 10)
  assert.throws(() => parseKeyRing(lines.join('\n')), /must have at most 10 keys; it has 11 lines/)
})

describe('a ring is refused, and nothing of it is repeated', () => {
  const refused: readonly (readonly [what: string, text: string, message: RegExp])[] = [
    ['nothing', '', /has no key; create one with: token-broker key cache/],
    ['line ends only', '\n\n', /has no key/],
    ['an empty line between keys', `${one}\n\n${two}`, /line 2 must be kid:key/],
    ['a comment', `# ${one}`, /line 1 must be kid:key/],
    ['a key without an id', key, /line 1 must be kid:key/],
    ['an empty id', `:${key}`, /line 1 must be kid:key/],
    ['an id of 17 characters', `${'a'.repeat(17)}:${key}`, /line 1 must be kid:key/],
    ['an id in capitals', `ONE:${key}`, /line 1 must be kid:key/],
    ['space around', ` ${one} `, /line 1 must be kid:key/],
    ['31 bytes', `one:${Buffer.alloc(31, 7).toString('base64')}`, /line 1 must be kid:key/],
    ['33 bytes', `one:${Buffer.alloc(33, 7).toString('base64')}`, /line 1 must be kid:key/],
    ['base64url', `one:${'-_'.repeat(21)}A=`, /line 1 must be kid:key/],
    ['another spelling of the same bytes', `one:${key.slice(0, -2)}${afterInBase64(key.at(-2))}=`, /canonical base64/],
    ['32 equal bytes', `one:${Buffer.alloc(32).toString('base64')}`, /line 1 has a key that is not random/],
    ['a sentence', `one:${Buffer.from('aaaabbbbccccddddeeeeffffgggghhhh').toString('base64')}`, /not random/],
    ['the same id twice', `${one}\n${cacheKeyLine('one')}`, /line 2 has the same id as another line/],
    ['the same key twice', `${one}\n${two}\nthree:${key}`, /line 3 has the same key as another line/],
  ]
  for (const [what, text, message] of refused)
    test(what, () => {
      assert.throws(
        () => parseKeyRing(text),
        error => message.test(messageOf(error)) && !/[A-Za-z0-9+/]{20}/.test(messageOf(error)),
      )
    })
})

/** The next character of base64: with one of the two bits that 32 bytes leave unused. */
function afterInBase64(character = ''): string {
  const all = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  return all[all.indexOf(character) + 1] ?? ''
}

describe('the file of the ring', () => {
  for (const [mode, isExposed] of [
    [0o600, false],
    [0o400, false],
    [0o440, false],
    [0o640, false],
    [0o644, true],
    [0o660, true],
  ] as const)
    test(`mode ${mode.toString(8)}: ${isExposed ? 'a warning names the setting' : 'no warning'}`, async t => {
      const { warning } = await followKeyRing(await fileOf(t, one, mode))
      if (isExposed) assert.match(warning ?? '', /^BROKER_CACHE_KEY_FILE: .* can be read or written by other users/)
      else assert.equal(warning, undefined)
    })

  for (const [what, text] of [
    ['too large', `${one}\n`.repeat(100)],
    ['no ring', 'password'],
  ] as const)
    test(`${what}: an error that names the setting, not the content`, async t => {
      const thrown: unknown = await followKeyRing(await fileOf(t, text)).catch((error: unknown) => error)
      assert.ok(thrown instanceof InvalidConfigurationError)
      assert.equal(thrown.errors[0]?.where, 'BROKER_CACHE_KEY_FILE')
      assert.doesNotMatch(thrown.message, /password|[A-Za-z0-9+/]{40}/)
    })

  test('missing: an error that names the setting', async () => {
    await assert.rejects(followKeyRing('/nowhere/keys'), /BROKER_CACHE_KEY_FILE: ENOENT/)
  })

  test('a new ring is used without a restart; an invalid one is reported, and the last one stays in use', async t => {
    const path = await fileOf(t, one)
    const ring = await followKeyRing(path)
    t.after(ring.close)
    let changes = 0
    const failures: string[] = []
    ring.watch(
      () => changes++,
      error => failures.push(messageOf(error)),
    )
    const first = ring.current()
    const replace = async (text: string) => {
      await writeFile(`${path}.new`, text)
      await rename(`${path}.new`, path)
    }
    await replace('none')
    await until('reported', () => failures.length > 0)
    assert.match(failures[0] ?? '', /BROKER_CACHE_KEY_FILE: line 1 must be kid:key/)
    assert.equal(ring.current(), first)
    await replace(`${two}\n${one}`)
    await until('changed', () => changes > 0)
    assert.deepEqual(
      ring.current().keys.map(({ kid }) => kid),
      ['two', 'one'],
    )
  })
})
