import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseFault } from '../../emulator/faults.ts'
import { sample } from '../../emulator/options.ts'
import { breakages, commandOf } from '../../emulator/page.ts'
import { startWorld } from '../support/broker.ts'
import { claims, emulate, goodForm, object, post, requestToken, send } from './client.ts'

const world = await startWorld()
const { emulator } = world
const get = (path: string, headers: Record<string, string> = {}) => send(`${emulator.localUrl}${path}`, { headers })

describe("the emulator's page", () => {
  test('is HTML with a strict policy, without inline scripts and styles, and loads nothing from elsewhere', async () => {
    const { status, headers, text } = await get('/')
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'text/html; charset=utf-8')
    const policy = String(headers['content-security-policy'])
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"])
      assert.ok(policy.split('; ').includes(part), part)
    assert.doesNotMatch(policy, /unsafe|\*|https?:/)
    assert.doesNotMatch(text, /<style|\sstyle=|\son\w+=|<script>|javascript:|<form/i)
    const loaded = [...text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url)
    assert.deepEqual(loaded, ['data:,', 'page.css', 'page.js'])
  })

  test('has a style for light and dark, and a script that writes texts only', async () => {
    const [style, script] = [await get('/page.css'), await get('/page.js')]
    assert.equal(style.headers['content-type'], 'text/css; charset=utf-8')
    assert.match(style.text, /color-scheme: light dark;/)
    assert.equal(script.headers['content-type'], 'text/javascript; charset=utf-8')
    assert.doesNotMatch(script.text, /innerHTML|outerHTML|insertAdjacent|document\.write|eval/)
    for (const { headers } of [style, script]) assert.equal(headers['x-content-type-options'], 'nosniff')
  })

  test('is refused under another host name (DNS rebinding) and to other methods', async () => {
    assert.equal((await get('/', { host: 'evil.example' })).status, 403)
    assert.equal((await get('/', { origin: 'http://evil.example' })).status, 403)
    assert.equal((await send(`${emulator.localUrl}/`, { method: 'POST' })).status, 405)
    assert.equal((await get('/page.html')).status, 404)
  })

  test('shows every command that it proposes, escaped', async () => {
    const { text } = await get('/')
    const shown = text.replace(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code)))
    for (const { title, faults, effect } of breakages)
      for (const part of [title, commandOf(emulator.localUrl, faults), effect]) assert.ok(shown.includes(part), part)
  })
})

describe('what the page proposes does what it says', () => {
  const environment = { BROKER_UPSTREAM_TIMEOUT_MS: '500' }
  for (const { title, faults, effect } of breakages)
    test(title, async t => {
      t.after(() => emulator.clearFaults())
      for (const fault of faults) parseFault(fault)
      const broker = await world.broker(t, { environment })
      // The identity token and the keys are there before, as in a broker that runs.
      await broker.service.warmUp()
      const body = commandOf(emulator.localUrl, faults).split(" -d '")[1]?.slice(0, -1) ?? ''
      const put = await send(`${emulator.localUrl}/control/faults`, { method: 'PUT', body })
      assert.equal(put.status, 200, put.text)
      const [, status = '200', code] = /\b(\d{3}) (\w+_\w+)/.exec(effect) ?? []
      const reply = await broker.requestToken()
      assert.deepEqual([reply.status, reply.json['code']], [Number(status), code], effect)
      if (effect.includes('remedy') || effect.includes('URL')) assert.ok(reply.json['remedy'])
      if (effect.includes('Retry-After')) assert.ok(Number(reply.headers['retry-after']) >= 7)
    })
})

describe('access tokens have the roles of their resource', () => {
  const rows: readonly (readonly [scope: string, roles: unknown, why: string])[] = [
    ['https://graph.microsoft.com/.default', ['Organization.Read.All', 'User.Read.All'], 'v1.0'],
    ['api://sample-api/.default', ['Orders.Read'], 'v2.0'],
    ['https://management.azure.com/.default', undefined, 'Azure Resource Manager has no application permissions'],
  ]
  for (const [scope, roles, why] of rows)
    test(`${scope}: ${why}`, async t => {
      const own = await emulate(t)
      const { text } = await post(own, sample.contoso, await goodForm(own, { scope }))
      assert.deepEqual(claims(object(text)['access_token'])['roles'], roles)
    })

  test('a token that acts for a user has none', async t => {
    const own = await emulate(t)
    own.fault({ kind: 'delegated', at: 'token' })
    const { text } = await requestToken(own)
    const { roles, scp } = claims(object(text)['access_token'])
    assert.deepEqual([roles, scp], [undefined, 'User.Read'])
  })
})
