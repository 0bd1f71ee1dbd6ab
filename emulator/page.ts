import type { IncomingMessage, ServerResponse } from 'node:http'
import { isFromElsewhere } from './control.ts'
import { pageScript, pageStyle } from './page-assets.ts'
import { json, type Reply, send } from './http.ts'
import type { World } from './world.ts'

/** The page loads nothing from elsewhere and nothing inline, cannot be framed, and sends no form. */
const headers = {
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

type Part = (world: World) => readonly [type: string, text: string]

const parts: Readonly<Record<string, Part>> = {
  '/': world => ['text/html; charset=utf-8', page(world)],
  '/page.css': () => ['text/css; charset=utf-8', pageStyle],
  '/page.js': () => ['text/javascript; charset=utf-8', pageScript],
}

/** Whether a path is that of the page or of one of its files. */
export const isPage = (url: URL): boolean => Object.hasOwn(parts, url.pathname)

/**
 * Serves the page for people: it shows the state, and the commands that break something on purpose. It changes nothing
 * itself, because `/control` refuses what a browser sends.
 */
export function routePage(request: IncomingMessage, response: ServerResponse, url: URL, world: World): void {
  send(response, replyTo(request, url, world))
}

function replyTo(request: IncomingMessage, url: URL, world: World): Reply {
  if (request.method !== 'GET') return json(405, { error: 'only GET is allowed' }, { allow: 'GET' })
  if (isFromElsewhere(request)) return json(403, { error: 'the page is for browsers on this machine only' })
  const [type = '', body = ''] = parts[url.pathname]?.(world) ?? []
  return { status: 200, headers: { ...headers, 'content-type': type }, body }
}

/** One way to break something: what happens, the body of `PUT /control/faults`, and what the broker makes of it. */
export interface Breakage {
  readonly title: string
  readonly faults: readonly Readonly<Record<string, unknown>>[]
  readonly effect: string
}

/** What the page proposes. Every kind of fault is in `faults.ts`. */
export const breakages: readonly Breakage[] = [
  {
    title: 'Entra responds 503 to every exchange',
    faults: [{ kind: 'server-error', at: 'token' }],
    effect:
      'Cached tokens are still served. Others get 503 upstream_unavailable, and after some failures of several tenants the circuit opens.',
  },
  {
    title: 'Entra throttles',
    faults: [{ kind: 'throttled', at: 'token', retryAfter: 7 }],
    effect: 'Callers get 503 upstream_unavailable with Retry-After. Nothing is sent for that token for seven seconds.',
  },
  {
    title: 'Entra accepts requests and never responds',
    faults: [{ kind: 'hung', at: 'token' }],
    effect: 'Callers get 503 upstream_unavailable after five seconds; the reason in the log is timeout.',
  },
  {
    title: 'The federated credential has another subject',
    faults: [{ kind: 'aadsts', code: 700213, at: 'token' }],
    effect: 'Callers get 502 federation_misconfigured. The remedy has the subject to set.',
  },
  {
    title: 'A tenant has not consented',
    faults: [{ kind: 'aadsts', code: 7000229, at: 'token' }],
    effect: 'Callers get 403 consent_required, with the URL for the administrator of the tenant.',
  },
  {
    title: "The next response contains another tenant's token",
    faults: [{ kind: 'wrong-tenant', at: 'token', times: 1 }],
    effect: 'Callers get 502 upstream_invalid. The broker never passes that token on.',
  },
  {
    title: 'The identity endpoint does not accept IDENTITY_HEADER',
    faults: [{ kind: 'client-error', status: 401, at: 'identity' }],
    effect:
      'Nothing changes at first, because the identity token is cached for a day. A broker that starts now stays unready.',
  },
  {
    title: "The keys of the callers' issuer cannot be fetched",
    faults: [{ kind: 'reset', at: 'callers' }],
    effect: 'Nothing changes for an hour, because the broker caches the keys. A broker that starts now stays unready.',
  },
]

const escape = (text: string): string => text.replace(/[&<>"']/g, character => `&#${character.codePointAt(0)};`)

/** A command for a POSIX shell. The JSON of {@link breakages} has no apostrophe. */
export const commandOf = (localUrl: string, faults: Breakage['faults']): string =>
  `curl -X PUT ${localUrl}/control/faults -d '${JSON.stringify(faults)}'`

const proposal = (localUrl: string, { title, faults, effect }: Breakage): string => `
        <article>
          <h3>${escape(title)}</h3>
          <pre tabindex="0">${escape(commandOf(localUrl, faults))}</pre>
          <p>${escape(effect)}</p>
        </article>`

const stateSection = (localUrl: string): string => `      <section aria-labelledby="state">
        <h2 id="state">State</h2>
        <p id="status" role="status">Loading …</p>
        <div class="columns">
          <div>
            <h3>Faults in effect</h3>
            <ul id="faults"><li>–</li></ul>
          </div>
          <div>
            <h3>Requests since the start</h3>
            <table>
              <thead><tr><th scope="col">Endpoint</th><th scope="col">Requests</th><th scope="col">Outcomes</th></tr></thead>
              <tbody id="counts"></tbody>
            </table>
          </div>
        </div>
        <details>
          <summary>Settings</summary>
          <pre id="settings" tabindex="0"></pre>
        </details>
        <noscript>This page needs JavaScript to show the state. <code>curl ${escape(localUrl)}/control</code> prints it.</noscript>
      </section>
`

const breakSection = (localUrl: string): string => `      <section aria-labelledby="break">
        <h2 id="break">Break it on purpose</h2>
        <p>Each command replaces all faults. Send a request to the broker after it, and look at the response, at the log of
          <code>npm run dev</code>, and at the state above.</p>
        <article>
          <h3>Remove all faults</h3>
          <pre tabindex="0">curl -X DELETE ${escape(localUrl)}/control/faults</pre>
        </article>${breakages.map(each => proposal(localUrl, each)).join('')}
        <article>
          <h3>Tokens that live ten seconds</h3>
          <pre tabindex="0">curl -X PUT ${escape(localUrl)}/control/settings -d '{"expiresIn":10}'</pre>
          <p>The broker refreshes them in the background while callers get the old ones.</p>
        </article>
        <p>More kinds of faults are in <code>emulator/faults.ts</code>. A fault may name one <code>tenant</code> by its id,
          and how many <code>times</code> it applies.</p>
      </section>
`

const page = ({ localUrl, entraUrl }: World): string => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Emulator of Entra</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="page.css">
    <script src="page.js" defer></script>
  </head>
  <body>
    <header>
      <h1>Emulator of Entra</h1>
      <p>It stands for Entra at <code>${escape(entraUrl)}</code>, and for the identity endpoint and an issuer of callers
        at <code>${escape(localUrl)}</code>. This page shows its state; commands in a terminal change it.</p>
    </header>
    <main>
${stateSection(localUrl)}${breakSection(localUrl)}    </main>
  </body>
</html>
`
