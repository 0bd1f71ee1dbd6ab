import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../../src/config/config.ts'
import type { Environment } from '../../src/config/environment.ts'
import { configurationErrorsOf } from '../support/config-errors.ts'
import { managed } from '../support/settings.ts'

const proxyOf = (environment: Environment) => readConfig({ ...managed, ...environment }).proxy
const warningsOf = (environment: Environment) => readConfig({ ...managed, ...environment }).warnings

describe('HTTPS_PROXY', () => {
  const good: readonly (readonly [value: string, shownUrl: string])[] = [
    ['http://proxy.example:3128', 'http://proxy.example:3128'],
    ['http://proxy.example', 'http://proxy.example'],
    ['https://proxy.example:3128/', 'https://proxy.example:3128'],
    ['HTTP://Proxy.Example:80', 'http://proxy.example'],
    ['http://user:correct-horse@[fd00::1]:3128', 'http://[fd00::1]:3128'],
  ]
  for (const [value, shownUrl] of good)
    test(`${value} is shown as ${shownUrl}`, () => assert.equal(proxyOf({ HTTPS_PROXY: value })?.shownUrl, shownUrl))

  test('is optional, and an empty one is absent', () => {
    assert.equal(proxyOf({}), undefined)
    assert.equal(proxyOf({ HTTPS_PROXY: '', https_proxy: '' }), undefined)
  })

  const bad: readonly (readonly [value: string, why: string])[] = [
    ['proxy.example:3128', 'no scheme: Node.js would ignore it, and send requests directly'],
    ['socks5://user:correct-horse@proxy.example:1080', 'another protocol'],
    ['//user:correct-horse@proxy.example', 'no scheme at all'],
    ['http://user:correct-horse@', 'no host'],
    ['http://user:correct-horse@proxy.example:3128/path', 'a path'],
    ['http://user:correct-horse@proxy.example:3128?x=1', 'a query'],
    ['http://user:correct-horse@proxy.example:3128#x', 'a fragment'],
    ['http://user:correct-horse%@proxy.example:3128', 'a percent sign that encodes nothing'],
    ['http://user:correct-horse%ff@proxy.example:3128', 'bytes that are no text'],
    ['http://user:correct-horse@proxy.example:70000', 'no port'],
  ]
  for (const [value, why] of bad)
    test(`is refused, and not repeated: ${why}`, () => {
      const [error = '', ...more] = configurationErrorsOf({ ...managed, HTTPS_PROXY: value })
      assert.match(error, /^HTTPS_PROXY: must be the http or https URL of a proxy without a path/)
      assert.ok(!error.includes('correct-horse'))
      assert.deepEqual(more, [])
    })

  test('in two spellings that differ is refused; the same value twice is accepted', () => {
    const one = 'http://user:correct-horse@one.example'
    assert.deepEqual(configurationErrorsOf({ ...managed, HTTPS_PROXY: one, https_proxy: 'http://two.example' }), [
      'HTTPS_PROXY: differs from https_proxy; set one of them only',
    ])
    assert.equal(proxyOf({ HTTPS_PROXY: one, https_proxy: one })?.shownUrl, 'http://one.example')
  })

  test('is reported together with other errors', () => {
    const errors = configurationErrorsOf({ ...managed, HTTPS_PROXY: 'x', PORT: 'x' })
    assert.deepEqual(
      errors.map(error => error.split(':')[0]),
      ['PORT', 'HTTPS_PROXY'],
    )
  })

  test('has every form of its password among the secrets of the log, but no common word', () => {
    const secretsOf = (userInfo: string) => proxyOf({ HTTPS_PROXY: `http://${userInfo}@proxy.example` })?.secrets
    assert.deepEqual(secretsOf('broker:p%40ss-word'), [
      'broker:p%40ss-word@',
      Buffer.from('broker:p@ss-word').toString('base64'),
      'p%40ss-word',
      'p@ss-word',
    ])
    assert.deepEqual(secretsOf('broker:token'), ['broker:token@', Buffer.from('broker:token').toString('base64')])
    assert.deepEqual(proxyOf({ HTTPS_PROXY: 'http://proxy.example' })?.secrets, [])
  })
})

describe('variables that have no effect', () => {
  for (const name of ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy']) {
    test(`${name} causes a warning without HTTPS_PROXY, which does not repeat it`, () => {
      const [warning = '', ...more] = warningsOf({ [name]: 'http://user:correct-horse@proxy.example' })
      assert.match(warning, new RegExp(`^${name} has no effect.*set HTTPS_PROXY$`))
      assert.ok(!warning.includes('correct-horse'))
      assert.deepEqual(more, [])
      assert.deepEqual(warningsOf({ [name]: 'http://p.example', HTTPS_PROXY: 'http://p.example' }), [])
    })
  }
})

describe('NO_PROXY', () => {
  test('always has loopback, in every form of a URL', () => {
    const expected = 'localhost,127.0.0.0-127.255.255.255,::1,[::1]'
    assert.equal(proxyOf({ HTTPS_PROXY: 'http://proxy.example' })?.noProxy, expected)
    assert.equal(proxyOf({ HTTPS_PROXY: 'http://proxy.example', NO_PROXY: ' , ' })?.noProxy, expected)
  })

  const ignored = [
    'https://a.example',
    'a.example/path',
    'a.*.example',
    '*example',
    '**.example',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0/8',
    'fd00::/8',
    'a.example:https',
    '.a.example:443',
    '..',
    '[a.example]',
  ]
  for (const entry of ignored)
    test(`"${entry}" is ignored with a warning; the others count`, () => {
      const environment = { HTTPS_PROXY: 'http://proxy.example', NO_PROXY: `a.example,${entry}` }
      assert.deepEqual(warningsOf(environment), [
        `NO_PROXY: "${entry}" is neither a name, an address nor an IPv4 network, and is ignored`,
      ])
      assert.match(proxyOf(environment)?.noProxy ?? '', /^\.a\.example,localhost,/)
    })

  test('in two spellings that differ is refused', () => {
    assert.deepEqual(configurationErrorsOf({ ...managed, NO_PROXY: 'a.example', no_proxy: 'b.example' }), [
      'NO_PROXY: differs from no_proxy; set one of them only',
    ])
  })
})
