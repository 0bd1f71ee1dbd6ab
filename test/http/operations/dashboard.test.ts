import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import { pino } from 'pino'
import { addDashboard } from '../../../src/http/operations/dashboard/dashboard.ts'
import { buildApp } from '../../../src/http/server/app.ts'
import { type Reply, send, startWorld } from '../../support/broker.ts'
import { filesBelow, read } from '../../support/sources.ts'
import { sendRaw } from '../server/raw.ts'

const world = await startWorld()
const broker = await world.broker({ after })
const get = (path: string, headers: Record<string, string> = {}) => send(`${broker.url}${path}`, { headers })

const page = await get('/dashboard')
const files = filesBelow('web')
const parts = files.filter(path => /\.(?:js|css|svg)$/.test(path)).map(path => path.replace(/^web\//, 'dashboard/'))

/** The headers with which a browser isolates the page. */
function assertShut({ headers }: Reply): void {
  assert.equal(
    headers['content-security-policy'],
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
      "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  )
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers['referrer-policy'], 'no-referrer')
  assert.equal(headers['cross-origin-opener-policy'], 'same-origin')
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin')
  assert.equal(headers['cache-control'], 'no-cache')
}

describe('the page', () => {
  test('is HTML without inline scripts or styles', () => {
    assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8'])
    assertShut(page)
    assert.doesNotMatch(page.text, /<style|\sstyle=|\son\w+=|<script>|javascript:/i)
  })

  test('loads its own files only, by addresses that are relative to it', () => {
    const named = [...page.text.matchAll(/(?:src|href)="([^"#][^"]*)"/g)].map(([, path = '']) => path)
    assert.ok(named.length >= 3)
    for (const path of named) assert.ok(parts.includes(path), path)
  })

  test('has no data of the broker: it is the file, whatever is requested', async () => {
    for (const path of ['/dashboard', '/dashboard?tenant=contoso'])
      assert.equal((await get(path)).text, read('web/index.html'))
  })

  test('has a form that sends nothing, and a field that browsers do not remember', () => {
    for (const [form] of page.text.matchAll(/<form[^>]*>/g)) assert.doesNotMatch(form, /action|method/)
    assert.match(page.text, /id="credential"\s+type="password"[^>]*autocomplete="off"/)
    assert.doesNotMatch(page.text, /<input[^>]*\sname=/)
  })
})

describe('its parts', () => {
  const types: Readonly<Record<string, string>> = {
    js: 'text/javascript; charset=utf-8',
    css: 'text/css; charset=utf-8',
    svg: 'image/svg+xml',
  }
  for (const path of parts)
    test(`${path} is served as it is`, async () => {
      const part = await get(`/${path}`)
      assert.deepEqual([part.status, part.headers['content-type']], [200, types[path.split('.').at(-1) ?? '']])
      assert.equal(part.text, read(path.replace('dashboard/', 'web/')))
      assertShut(part)
    })

  test('import only each other: nothing from another folder or origin', () => {
    for (const path of files.filter(each => each.endsWith('.js'))) {
      for (const [, imported = ''] of read(path).matchAll(/^(?:import|export)[^;\n]*? from '([^']+)'/gms))
        assert.ok(files.includes(normalize(join(dirname(path), imported))), `${path}: ${imported}`)
      // The library for signing in is loaded only where it is needed.
      const late = [...read(path).matchAll(/\bimport\(.*/g)].map(([text]) => text)
      const isIssuer = path === 'web/sign-in/issuer.js'
      assert.deepEqual(late, isIssuer ? ["import(new URL('../lib/oauth4webapi.js', import.meta.url).href)"] : [], path)
    }
  })

  test('have styles that load nothing, and are all used', () => {
    const styles = files.filter(each => each.endsWith('.css'))
    for (const path of styles) {
      assert.doesNotMatch(read(path), /url\(|@import/, path)
      assert.ok(read('web/index.html').includes(`dashboard/${path.slice('web/'.length)}`), path)
    }
    assert.ok(styles.length > 1)
  })

  test('write texts, never markup, and keep nothing in the browser', () => {
    const forbidden =
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\b|new Function|localStorage|sessionStorage|indexedDB|document\.cookie|caches\./
    const addresses = /history\.|location\b/
    for (const path of files.filter(each => each.endsWith('.js'))) {
      assert.doesNotMatch(read(path), forbidden, path)
      // A sign-in comes back in an address, and is removed from it.
      if (!path.startsWith('web/sign-in/')) assert.doesNotMatch(read(path), addresses, path)
    }
  })
})

describe('a browser that has a file already', () => {
  const etag = String(page.headers['etag'])
  const rows: readonly (readonly [header: string, status: number, why: string])[] = [
    [etag, 304, 'the same tag'],
    [`W/${etag}`, 304, 'a proxy has compressed it'],
    [`"other", ${etag}`, 304, 'one of several'],
    ['"other"', 200, 'another one'],
    [etag.slice(1, -1), 200, 'without quotes it is no tag'],
    ['', 200, 'none'],
  ]
  for (const [header, status, why] of rows)
    test(`If-None-Match ${header.replace(etag, 'tag')}: ${status}, ${why}`, async () => {
      const reply = await get('/dashboard', { 'if-none-match': header })
      assert.equal(reply.status, status)
      assert.equal(reply.headers['etag'], etag)
      assert.equal(reply.text.length > 0, status === 200)
      assertShut(reply)
    })
})

const elsewhere: readonly (readonly [path: string, why: string])[] = [
  ['/dashboard/', 'the folder'],
  ['/dashboard/view', 'a folder in it'],
  ['/dashboard/view/', 'the same'],
  ['/dashboard/index.html', 'the page has one address'],
  ['/dashboard/view/index.html', 'a file that is not there'],
  ['/dashboard/tsconfig.json', "the compiler's settings"],
  ['/dashboard/model/responses.ts', 'a source of types'],
  ['/dashboard/view/..%2findex.html', 'a folder above, encoded'],
  ['/dashboard/..%2f..%2fsrc/cli.ts', 'folders above, encoded'],
  ['/dashboard/%2e%2e/package.json', 'the dots encoded'],
  ['/dashboard/../package.json', 'dots as they are'],
  ['/dashboard/view/../view/main.js', 'the same'],
  ['/dashboard/view//main.js', 'two slashes'],
  ['/dashboard/view/main.js/', 'a slash at the end'],
  ['/dashboard/view/main.js%00.css', 'a zero byte'],
  ['/dashboard/view/..%5cmodel%5cway.js', 'backslashes'],
  ['/dashboard/View/main.js', 'another case'],
  ['/dashboard/constructor/name', 'a property of every object'],
  ['/dashboard/__proto__/toString', 'the same'],
]
for (const [path, why] of elsewhere)
  test(`${path} is 404: ${why}`, async () => {
    const { status, json, text } = await sendRaw(
      broker.url,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    assert.deepEqual([status, json['code']], [404, 'not_found'], text)
  })

test('with MANAGEMENT_PORT it is on the management listener only', async t => {
  const here = await world.broker(t, { environment: { MANAGEMENT_PORT: '9090' } })
  for (const path of ['/dashboard', '/dashboard/view/main.js']) {
    assert.equal((await send(`${here.managementUrl}${path}`)).status, 200)
    assert.equal((await send(`${here.url}${path}`)).status, 404)
  }
})

describe('the files', () => {
  /** A server whose page is in a folder of its own. */
  async function serve(t: TestContext) {
    const root = await mkdtemp(join(tmpdir(), 'token-broker-dashboard-'))
    t.after(() => rm(root, { recursive: true }))
    await mkdir(join(root, 'web/view'), { recursive: true })
    const options = { log: pino({ level: 'silent' }), isDraining: () => false, responded: () => undefined }
    const app = buildApp(options, [scope => addDashboard(scope, root, () => undefined)])
    t.after(() => app.close())
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    return { root, get: (path: string) => send(`${url}${path}`) }
  }

  test('a missing page is 500 until it exists; it is then read once, with all its parts', async t => {
    const { root, get: open } = await serve(t)
    const missing = await open('/dashboard')
    assert.deepEqual([missing.status, missing.json['code']], [500, 'internal_error'])
    assert.ok(!missing.text.includes(root))
    await writeFile(join(root, 'web/index.html'), 'one')
    await writeFile(join(root, 'web/view/a.js'), 'one')
    assert.equal((await open('/dashboard')).text, 'one')
    await writeFile(join(root, 'web/index.html'), 'two')
    await writeFile(join(root, 'web/view/a.js'), 'two')
    await writeFile(join(root, 'web/view/b.js'), 'two')
    assert.equal((await open('/dashboard')).text, 'one')
    assert.equal((await open('/dashboard/view/a.js')).text, 'one')
    assert.equal((await open('/dashboard/view/b.js')).status, 404)
  })

  test('more than 512 KiB are refused: they would all be in memory', async t => {
    const { root, get: open } = await serve(t)
    await writeFile(join(root, 'web/index.html'), 'x')
    await writeFile(join(root, 'web/view/a.js'), 'x'.repeat(512 * 1024))
    assert.equal((await open('/dashboard')).status, 500)
    await writeFile(join(root, 'web/view/a.js'), 'x'.repeat(512 * 1024 - 1))
    assert.equal((await open('/dashboard')).status, 200)
  })
})
