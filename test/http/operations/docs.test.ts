import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { pino } from 'pino'
import { parse } from 'yaml'
import { buildApp } from '../../../src/http/server/app.ts'
import { addDocs } from '../../../src/http/operations/docs.ts'
import { packageRoot } from '../../../src/service/package.ts'
import { type Reply, send, startWorld } from '../../support/broker.ts'
import { sendRaw } from '../server/raw.ts'

const world = await startWorld()
const broker = await world.broker({ after })
const get = (path: string) => send(`${broker.url}${path}`)

const page = await get('/docs')
/** The files that the page names, as the browser requests them. */
const named = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(
  ([, url]) => new URL(url ?? '', `${broker.url}/docs`),
)

/** The headers that make a browser isolate the page. */
function assertShut({ headers }: Reply): void {
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers['referrer-policy'], 'no-referrer')
  const directives = String(headers['content-security-policy'])
    .split('; ')
    .map(directive => directive.split(' '))
  for (const [name = '', ...sources] of directives) {
    const allowed = name === 'img-src' ? ["'self'", 'data:'] : ["'self'", "'none'"]
    for (const source of sources) assert.ok(allowed.includes(source), `${name} ${source}`)
  }
  const given = new Map(directives.map(([name, ...sources]) => [name, sources.join(' ')]))
  for (const name of ['default-src', 'base-uri', 'form-action', 'frame-ancestors']) {
    assert.equal(given.get(name), "'none'", name)
  }
}

describe('the origin', () => {
  test('sends a browser to the page', async () => {
    for (const path of ['/', '/?from=bookmark']) {
      const { status, headers } = await get(path)
      assert.equal(status, 302)
      assert.equal(new URL(String(headers.location), broker.url).href, `${broker.url}/docs`)
    }
  })

  test('is still no endpoint for other methods', async () => {
    for (const method of ['POST', 'HEAD', 'PUT'])
      assert.equal((await send(`${broker.url}/`, { method })).status, 404, method)
  })

  test('is no endpoint where the page is on another listener', async t => {
    const { url } = await world.broker(t, { environment: { MANAGEMENT_PORT: '0' } })
    assert.equal((await send(`${url}/`)).status, 404)
  })
})

describe('the page', () => {
  test('is HTML without inline scripts or styles', () => {
    assert.equal(page.status, 200)
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8')
    assertShut(page)
    assert.doesNotMatch(page.text, /<style|\sstyle=|\son\w+=|<script>|javascript:/i)
  })

  test('loads nothing from another origin', () => {
    assert.ok(named.length >= 5)
    assert.deepEqual(new Set(named.map(({ origin }) => origin)), new Set([broker.url]))
    assert.doesNotMatch(page.text, /\/\//)
  })

  const types: Readonly<Record<string, string>> = {
    '/docs/start.js': 'text/javascript; charset=utf-8',
    '/docs/swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
    '/docs/swagger-ui.css': 'text/css; charset=utf-8',
    '/docs/favicon-32x32.png': 'image/png',
    '/openapi.json': 'application/json; charset=utf-8',
  }
  test('names every file that it needs, and each of them is served', async () => {
    assert.deepEqual(named.map(({ pathname }) => pathname).toSorted(), Object.keys(types).toSorted())
    for (const [path, type] of Object.entries(types)) {
      const part = await get(path)
      assert.deepEqual([part.status, part.headers['content-type']], [200, type], path)
      assertShut(part)
      if (type !== 'image/png') assert.ok(part.text.length > 100)
    }
  })

  test('has a style sheet that loads nothing', async () => {
    const { text } = await get('/docs/swagger-ui.css')
    const urls = [...text.matchAll(/url\(\s*["']?([^:)]*:)?/g)].map(([, scheme]) => scheme)
    assert.deepEqual(new Set(urls), new Set(['data:']))
    assert.doesNotMatch(text, /@import/)
  })

  test('is for reading only: no requests, no field for a credential, no other description', async () => {
    const started: Record<string, unknown>[] = []
    const { text } = await get('/docs/start.js')
    runInNewContext(text, { SwaggerUIBundle: (options: Record<string, unknown>) => started.push(options) })
    const [{ url, supportedSubmitMethods, validatorUrl, plugins, ...rest } = {}] = started
    assert.equal(started.length, 1)
    assert.equal(url, 'openapi.json')
    assert.equal(validatorUrl, null, "Swagger UI's own validator is on another origin")
    assert.equal(JSON.stringify(supportedSubmitMethods), '[]')
    assert.ok(!('queryConfigEnabled' in rest), 'the address of the page cannot name another description')
    type Wrap = () => () => unknown
    const [plugin] = plugins as [() => { wrapComponents: Record<string, Wrap> }]
    const { wrapComponents } = plugin()
    assert.deepEqual(Object.keys(wrapComponents), ['authorizeBtn', 'authorizeOperationBtn'])
    for (const wrap of Object.values(wrapComponents)) assert.equal(wrap()(), null)
  })
})

test('/openapi.json is openapi.yaml', async () => {
  const { json } = await get('/openapi.json')
  assert.deepEqual(json, parse(await readFile(join(packageRoot, 'openapi.yaml'), 'utf8')))
})

const elsewhere: readonly (readonly [path: string, why: string])[] = [
  ['/docs/', 'the folder'],
  ['/docs/index.html', "a file of Swagger UI's folder that the page does not need"],
  ['/docs/oauth2-redirect.html', 'the same, and one that takes credentials'],
  ['/docs/swagger-ui.js', 'the same'],
  ['/docs/..%2fpackage.json', 'a folder above, encoded'],
  ['/docs/..%2f..%2f..%2fpackage.json', 'folders above, encoded'],
  ['/docs/%2e%2e%2f%2e%2e%2fpackage.json', 'the dots encoded, too'],
  ['/docs/..%252fpackage.json', 'encoded twice'],
  ['/docs/..%5cpackage.json', 'a backslash'],
  ['/docs/../docs/swagger-ui.css', 'dots as they are'],
  ['/docs/./swagger-ui.css', 'one dot'],
  ['/docs//swagger-ui.css', 'two slashes'],
  ['/docs/swagger-ui.css/', 'a slash at the end'],
  ['/docs/swagger-ui.css%00.png', 'a zero byte'],
  ['/docs/%2fetc%2fpasswd', 'an absolute path'],
  ['/docs/Swagger-UI.css', 'another case'],
  ['/docs/constructor', 'a property of every object'],
  ['/docs/__proto__', 'the same'],
  ['/docs/package.json', "the package's own"],
  ['/openapi.yaml', 'the file from which /openapi.json is made'],
]
for (const [path, why] of elsewhere) {
  test(`${path} is 404: ${why}`, async () => {
    const { status, json, text } = await sendRaw(
      broker.url,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    assert.deepEqual([status, json['code']], [404, 'not_found'], text)
  })
}

test('with MANAGEMENT_PORT it is on the management listener only', async t => {
  const here = await world.broker(t, { environment: { MANAGEMENT_PORT: '9090' } })
  for (const path of ['/docs', '/docs/start.js', '/openapi.json']) {
    assert.equal((await send(`${here.managementUrl}${path}`)).status, 200)
    assert.equal((await send(`${here.url}${path}`)).status, 404)
  }
})

test('a missing file is 500 until it exists, and is then read once', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'token-broker-docs-'))
  t.after(() => rm(folder, { recursive: true }))
  const options = { log: pino({ level: 'silent' }), isDraining: () => false, responded: () => undefined }
  const app = buildApp(options, [scope => addDocs(scope, folder)])
  t.after(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })

  const missing = await send(`${url}/openapi.json`)
  assert.deepEqual([missing.status, missing.json['code']], [500, 'internal_error'])
  assert.ok(!missing.text.includes(folder) && !missing.text.includes('ENOENT'))
  await writeFile(join(folder, 'openapi.yaml'), 'openapi: 3.1.0\n')
  assert.equal((await send(`${url}/openapi.json`)).text, '{"openapi":"3.1.0"}')
  await writeFile(join(folder, 'openapi.yaml'), 'openapi: 3.1.1\n')
  assert.equal((await send(`${url}/openapi.json`)).text, '{"openapi":"3.1.0"}')
})
