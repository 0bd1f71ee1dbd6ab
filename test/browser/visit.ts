import assert from 'node:assert/strict'
import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core'
import { storedBy } from './stored.ts'

/** How a page is opened, and what may happen there. */
export interface VisitOptions {
  /** Default: `light`. */
  readonly theme?: 'light' | 'dark'
  /** In CSS pixels; default: 1,280. */
  readonly width?: number
  /** Origins besides the page's own to which it may send requests. */
  readonly origins?: readonly string[]
  /** Problems that the test causes. Each must occur; any other problem fails the test. */
  readonly expected?: readonly RegExp[]
  /** Whether the page's Content-Security-Policy is off: for axe-core only, which is injected into the page. */
  readonly bypassCSP?: boolean
}

/** A page, with what the test may need of the browser besides. */
export interface Visit {
  readonly page: Page
  /** The value of a JavaScript expression in the page, as JSON. The page's Content-Security-Policy does not apply to it. */
  readonly evaluate: (expression: string) => Promise<unknown>
  /** What went wrong so far: the same as fails the test at its end. */
  readonly problems: () => readonly string[]
}

/** Longer than anything takes on a busy machine; shorter than the deadline of a test. */
const deadlineMs = 60_000

/**
 * Opens a page in a browser profile of its own, and does `use` there. Then rejects if there was a violation of the
 * Content-Security-Policy, an error or warning on the console, an uncaught exception, a request that failed or that was
 * for another origin, or if the page's origin has stored anything.
 */
export async function visit(
  browser: Browser,
  url: string,
  use: (visit: Visit) => void | Promise<void>,
  { theme = 'light', width = 1280, origins = [], expected = [], bypassCSP = false }: VisitOptions = {},
): Promise<void> {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: theme,
    locale: 'en-GB',
    timezoneId: 'UTC',
    bypassCSP,
  })
  try {
    context.setDefaultTimeout(deadlineMs)
    const found = watch(context, [new URL(url).origin, ...origins])
    const page = await context.newPage()
    const session = await watchPolicy(context, page, found)
    await page.goto(url)
    await use({ page, evaluate: expression => evaluateIn(session, expression), problems: () => found })
    // Reports of what happened before are in order with this response.
    await evaluateIn(session, '0')
    assertExpected(found, expected)
    assert.deepEqual(await storedBy(context, session, new URL(url).origin), [], 'nothing is stored')
  } finally {
    await context.close()
  }
}

/** Collects what goes wrong on any page of a context. */
function watch(context: BrowserContext, origins: readonly string[]): string[] {
  const found: string[] = []
  context.on('console', message => {
    if (['error', 'warning', 'assert'].includes(message.type())) found.push(`console: ${message.text()}`)
  })
  context.on('weberror', problem => found.push(`exception: ${String(problem.error())}`))
  context.on('request', request => {
    const { origin, protocol } = new URL(request.url())
    if (protocol !== 'data:' && !origins.includes(origin)) found.push(`another origin: ${request.url()}`)
  })
  context.on('requestfailed', request => {
    const { errorText = '' } = request.failure() ?? {}
    // A page may stop its own requests.
    if (errorText !== 'net::ERR_ABORTED')
      found.push(`request failed: ${request.method()} ${request.url()}: ${errorText}`)
  })
  return found
}

/** Violations of the Content-Security-Policy, from the browser itself: a page cannot hide them. */
async function watchPolicy(context: BrowserContext, page: Page, found: string[]): Promise<CDPSession> {
  const session = await context.newCDPSession(page)
  session.on('Audits.issueAdded', ({ issue }) => {
    const violation = issue.details.contentSecurityPolicyIssueDetails
    if (violation)
      found.push(
        `policy: ${violation.violatedDirective} ${violation.blockedURL ?? ''}: ${violation.contentSecurityPolicyViolationType}`,
      )
  })
  await session.send('Audits.enable')
  return session
}

async function evaluateIn(session: CDPSession, expression: string): Promise<unknown> {
  const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
    expression,
    returnByValue: true,
    awaitPromise: true,
  })
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
  return result.value
}

function assertExpected(found: readonly string[], expected: readonly RegExp[]): void {
  const unexpected = found.filter(problem => !expected.some(pattern => pattern.test(problem)))
  assert.deepEqual(unexpected, [])
  const missing = expected.filter(pattern => !found.some(problem => pattern.test(problem)))
  assert.deepEqual(missing, [], 'these problems were expected')
}
