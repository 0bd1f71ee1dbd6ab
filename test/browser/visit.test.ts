import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, test } from 'node:test'
import { until } from '../support/broker.ts'
import { startChromium, withBrowser } from './chromium.ts'
import { visit } from './visit.ts'

/** What the visits of the other files refuse. */

const policy = "default-src 'none'; script-src 'self'; connect-src *; require-trusted-types-for 'script'"

/** Each script is the page's own; the last column is what the visit reports. */
const rows: readonly (readonly [title: string, script: string, reported: RegExp])[] = [
  ['an inline style', 'document.body.setAttribute("style", "color: red")', /policy: style-src/],
  ['an inline script', 'document.body.setAttribute("onclick", "1")', /policy: (?:script-src|require-trusted)/],
  ['HTML out of a text', 'document.body.innerHTML = "<b>x</b>"', /TrustedHTML/],
  [
    'an image of another origin',
    'document.body.append(Object.assign(new Image(), { src: "http://localhost:9/x.png" }))',
    /policy: img-src/,
  ],
  ['an error on the console', 'console.error("broken")', /console: broken/],
  ['an uncaught exception', 'setTimeout(() => { throw new TypeError("broken") })', /exception: TypeError: broken/],
  ['an unhandled rejection', 'Promise.reject(new RangeError("broken"))', /exception: RangeError: broken/],
  [
    'a request to another origin',
    'fetch("http://localhost:9/").catch(() => undefined)',
    /another origin: http:\/\/localhost:9/,
  ],
  ['a request that fails', 'fetch("/reset").catch(() => undefined)', /request failed: GET http:\S+\/reset/],
  ['a response with an error', 'fetch("/missing")', /console: .*404/],
  ['a cookie', 'document.cookie = "a=b"', /cookie a/],
  ['localStorage', 'localStorage.setItem("a", "b")', /localStorage a/],
  ['sessionStorage', 'sessionStorage.setItem("a", "b")', /sessionStorage a/],
  ['IndexedDB', 'await new Promise(resolve => (indexedDB.open("a").onsuccess = resolve))', /IndexedDB a/],
  ['Cache storage', 'await caches.open("a")', /cache a/],
  [
    'a file of the origin',
    'await (await navigator.storage.getDirectory()).getFileHandle("a", { create: true })',
    /storage file_systems/,
  ],
]

/** Rows of what is only visible at the end of the visit. */
const isStored = (title: string): boolean =>
  /^(?:a cookie|localStorage|sessionStorage|IndexedDB|Cache|a file)/.test(title)

describe('a visit in a real browser', withBrowser, async () => {
  if (withBrowser.skip !== false) return
  const scripts = new Map(rows.map(([, script], nth) => [`/${nth}.js`, script]))
  const server = createServer(({ url = '' }, response) => {
    if (url === '/reset') {
      response.destroy()
      return
    }
    const script = scripts.get(url)
    const page = `<!doctype html><link rel="icon" href="data:,"><body><script type="module" src="${url}.js"></script></body>`
    response.setHeader('content-security-policy', `${policy}; img-src data:`)
    if (script !== undefined) {
      response.setHeader('content-type', 'text/javascript')
      response.end(`${script}\ndocument.title = "done"`)
    } else if (url === '/missing') {
      response.writeHead(404).end()
    } else {
      response.setHeader('content-type', 'text/html')
      response.end(page)
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  after(() => {
    server.close()
    server.closeAllConnections()
  })
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const browser = await startChromium({ after })

  for (const [nth, [title, , reported]] of rows.entries())
    test(`reports ${title}`, async () => {
      const visited = visit(browser, `${origin}/${nth}`, async ({ evaluate, problems }) => {
        await until(
          'the script has run',
          async () => problems().length > 0 || (await evaluate('document.title')) === 'done',
        )
        // What is stored is looked at only in the end.
        if (!isStored(title)) await until('it is reported', () => problems().some(problem => reported.test(problem)))
      })
      await assert.rejects(visited, reported)
    })
})
