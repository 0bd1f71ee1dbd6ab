import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BrokerError } from '../../src/errors.ts'
import { createLogs, describeError, scrubber } from '../../src/telemetry/log.ts'
import { encodeKey } from '../../src/broker/authentication/api-keys.ts'
import { fingerprint } from '../../src/broker/lib/fingerprint.ts'

const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl-_0'
const apiKey = encodeKey(Buffer.alloc(32, 7))
const secret = 'a"b\\c-identity-header'
const scrub = scrubber([secret, ''])

const rows: readonly (readonly [what: string, line: string, clean: string])[] = [
  ['a JWT', `x ${jwt} y`, 'x [redacted jwt] y'],
  ['a JWT at the end', `x ${jwt}`, 'x [redacted jwt]'],
  ['two JWTs', `${jwt} ${jwt}`, '[redacted jwt] [redacted jwt]'],
  ['a JWT without a signature', `${jwt.slice(0, -15)}.`, '[redacted jwt]'],
  ['an API key', `x ${apiKey} y`, 'x [redacted key] y'],
  ['a JWE of five parts', `${jwt}.x.y`, '[redacted jwt]'],
  ['a JWT in a form', `a=1&client_assertion=${jwt}&b=2`, 'a=1&client_assertion=[redacted jwt]&b=2'],
  ['a JWT in JSON', `{"m":"\\n${jwt}"}`, '{"m":"\\n[redacted jwt]"}'],
  ['a secret as JSON writes it', JSON.stringify({ m: `x ${secret} y` }), '{"m":"x [redacted] y"}'],
  ['a secret twice', JSON.stringify([secret, secret]), '["[redacted]","[redacted]"]'],
  [
    'what only begins like a JWT',
    'eyJ and eyJohnathan and eyJohnathan.branch',
    'eyJ and eyJohnathan and eyJohnathan.branch',
  ],
  ['a line without anything', '{"level":"info"}', '{"level":"info"}'],
]
for (const [what, line, clean] of rows)
  test(`the scrubber and ${what}`, () => {
    assert.equal(scrub(line), clean)
  })

function logged(level: string, write: (logs: ReturnType<typeof createLogs>) => void): string {
  let text = ''
  write(createLogs(level, { write: line => void (text += line), flush: () => undefined }, [secret]))
  return text
}

const fieldNames = ['authorization', 'access_token', 'client_assertion', 'assertion', 'token', 'secret']
for (const name of fieldNames)
  test(`a field ${name} is redacted, up to two objects deep`, () => {
    const opaque = 'opaque-credential'
    const text = logged('info', ({ log }) => log.info({ [name]: opaque, a: { [name]: opaque, b: { [name]: opaque } } }))
    assert.ok(!text.includes(opaque))
    assert.equal(text.split('[redacted]').length, 4)
  })

test('both loggers use the scrubber, for messages, fields and errors', () => {
  const text = logged('info', ({ log, audit }) => {
    for (const logger of [log, audit]) {
      logger.info(`message ${jwt} ${secret}`)
      logger.info({ member: jwt, other: secret }, 'x')
      logger.error({ err: new Error(jwt, { cause: new Error(secret) }) }, 'x')
    }
  })
  assert.equal(text.trimEnd().split('\n').length, 6)
  assert.ok(!text.includes(jwt.slice(0, 20)) && !text.includes(JSON.stringify(secret).slice(1, -1)), text)
})

const controls: readonly (readonly [what: string, text: string, escaped: string])[] = [
  ['a bidirectional override', 'a\u202eb', 'a\\u202eb'],
  ['bidirectional isolates and marks', '\u2066\u2069\u200e\u200f\u061c', '\\u2066\\u2069\\u200e\\u200f\\u061c'],
  ['a control of the second range (CSI)', '\u009b31m', '\\u009b31m'],
  ['DEL', '\u007f', '\\u007f'],
  ['an escape sequence', '\u001b[31m', '\\u001b[31m'],
  ['a line separator', '\u2028\u2029', '\\u2028\\u2029'],
  ['a zero-width space and a byte order mark', '\u200b\ufeff', '\\u200b\\ufeff'],
  ['a tag character beyond U+FFFF', '\u{e0041}', '\\udb40\\udc41'],
]
for (const [what, text, escaped] of controls)
  test(`${what} is escaped in every logged text, and means the same`, () => {
    for (const padding of ['', 'x'.repeat(60)]) {
      const line = logged('info', ({ log, audit }) => {
        log.info({ [`${text}name`]: `${text}${padding}` }, text)
        audit.info({ field: `${text}${padding}`, err: new Error(text) }, text)
      })
      assert.ok(line.includes(`"${escaped}${padding}"`), line)
      assert.doesNotMatch(line.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      for (const each of line.trimEnd().split('\n')) assert.equal((JSON.parse(each) as { msg: string }).msg, text)
    }
  })

test('other letters, also of scripts from right to left, are not escaped', () => {
  const text = 'Zürich שלום 東京 😀'
  assert.ok(logged('info', ({ audit }) => audit.info(text)).includes(text))
})

test('LOG_LEVEL does not affect the audit log', () => {
  const text = logged('fatal', ({ log, audit }) => {
    log.error('not written')
    audit.info('written')
  })
  assert.match(text, /^\{"level":"info","time":"[^"]+","msg":"written"\}\n$/)
})

test('an error is described with its code and causes, cut to a length', () => {
  const cause = Object.assign(new Error('y'.repeat(600)), { code: 'ECONNREFUSED' })
  const described = describeError(new Error('x', { cause }))
  assert.deepEqual([described['name'], described['message']], ['Error', 'x'])
  const { code, message } = described['cause'] as Record<string, string>
  assert.deepEqual([code, message?.length], ['ECONNREFUSED', 500])
})

test('a credential is recognised before a text is cut, so that no part of it is left', () => {
  const text = `${'y'.repeat(480)} ${jwt}`
  const cause = describeError(new Error(text, { cause: new Error(`${'y'.repeat(480)} ${apiKey}`) }))
  assert.ok(!/eyJ|tb_/.test(JSON.stringify(cause)))
})

test('a BrokerError has no stack; any other error has one', () => {
  assert.ok(!('stack' in describeError(new BrokerError('upstream_unavailable', 'x'))))
  assert.match(String(describeError(new TypeError('x'))['stack']), /log\.test\.ts/)
})

test('an error that is its own cause does not end the process', () => {
  const error = new Error('x')
  error.cause = error
  assert.doesNotThrow(() => describeError(error))
})

test('a thrown value that is not an error is described too', () => {
  assert.deepEqual(describeError('x'.repeat(600)), { message: 'x'.repeat(500) })
  assert.deepEqual(describeError(undefined), { message: 'undefined' })
})

test('a fingerprint is the first 32 digits of what sha256sum prints', () => {
  // printf %s abc | sha256sum | cut -c1-32 (FIPS 180-4, example B.1)
  assert.equal(fingerprint('abc'), 'ba7816bf8f01cfea414140de5dae2223')
})
