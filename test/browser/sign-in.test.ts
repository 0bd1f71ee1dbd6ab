import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import type { Page } from 'playwright-core'
import { graph, send, startWorld, until } from '../support/broker.ts'
import { freePort } from '../support/ports.ts'
import { audience, dashboardClient, objectId, person, startIssuer } from '../support/sign-in-issuer.ts'
import { findingsOf, overflowOf } from './accessibility.ts'
import { startChromium, withBrowser } from './chromium.ts'
import { visit, type Visit } from './visit.ts'

/** Signing in to the dashboard with a real authorization server, `oidc-provider`, in a real browser. */
describe('sign-in with the issuer', withBrowser, async () => {
  if (withBrowser.skip !== false) return
  const world = await startWorld()
  const PORT = String(await freePort())
  const url = `http://127.0.0.1:${PORT}/dashboard`
  const issuer = await startIssuer({ after }, [url])
  const policy = {
    issuers: { corp: { issuer: issuer.issuer, audiences: [audience] } },
    rules: [{ name: 'people', callers: [{ issuer: 'corp', subject: person }], permissions: ['observe'] }],
  }
  const environment = { PORT, BROKER_DASHBOARD_CLIENT_ID: dashboardClient, BROKER_DASHBOARD_SCOPE: 'observe' }
  await world.broker({ after }, { policy, environment })
  const browser = await startChromium({ after })
  beforeEach(() => issuer.behave({}))
  const open = (use: (visited: Visit) => Promise<void>, expected: readonly RegExp[] = []) =>
    visit(browser, url, use, { origins: [issuer.issuer], expected })
  const codesExchanged = (): number => issuer.paths().filter(path => path.endsWith('/token')).length
  const board = (page: Page) => page.locator('#board').waitFor({ state: 'visible' })
  const alert = (page: Page, text: string | RegExp) => page.getByRole('alert').getByText(text).waitFor()
  const start = (page: Page) => {
    // The issuer's clock is that of the machine.
    world.clock.advance((Date.now() - world.clock.now()) / 1000)
    return page.getByRole('button', { name: /^Sign in with localhost:/ }).click()
  }

  test('shows the dashboard, with one exchange of a code, and closes the window of the issuer', async () => {
    await open(async ({ page }) => {
      const before = codesExchanged()
      await start(page)
      await board(page)
      assert.equal(codesExchanged(), before + 1)
      await until('the window is closed', () => page.context().pages().length === 1)
      assert.equal(page.url(), url)
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.locator('#sign-in').waitFor()
    })
  })

  test('says that the person refused, in the words of the issuer as text; the next attempt succeeds', async () => {
    await open(async ({ page }) => {
      issuer.behave({ denies: true })
      await start(page)
      await alert(page, 'The issuer did not sign you in. access_denied: The person <b>refused</b>.')
      issuer.behave({})
      await start(page)
      await board(page)
    })
  })

  test("a response with another state is not taken (another person's code); the attempt goes on", async () => {
    await open(async ({ page }) => {
      const signedIn = Promise.withResolvers<void>()
      issuer.behave({ waitsFor: signedIn.promise })
      const before = codesExchanged()
      await start(page)
      await alert(page, /^Sign in in the window of the issuer/)
      const forged = await page.context().newPage()
      await forged.goto(`${url}#code=stolen&state=forged&iss=${encodeURIComponent(issuer.issuer)}`)
      await forged.getByText('No dashboard in this browser waits for this sign-in.').waitFor()
      assert.equal(forged.url(), url, 'the code is not in the address any more')
      assert.equal(codesExchanged(), before)
      signedIn.resolve()
      await board(page)
    })
  })

  test('of two attempts the last one counts', async () => {
    await open(async ({ page }) => {
      const before = codesExchanged()
      const asked = issuer.paths().length
      const signIns = () =>
        issuer
          .paths()
          .slice(asked)
          .filter(path => path.startsWith('/interaction/')).length
      const signedIn = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      for (const [nth, { promise }] of signedIn.entries()) {
        issuer.behave({ waitsFor: promise })
        await start(page)
        await until('the issuer asks the person', () => signIns() === nth + 1)
      }
      const first = page.context().waitForEvent('page')
      signedIn[0]?.resolve()
      await (await first).getByText('No dashboard in this browser waits for this sign-in.').waitFor()
      assert.equal(codesExchanged(), before)
      signedIn[1]?.resolve()
      await board(page)
    })
  })

  test('a response that is replayed is not taken, in the same page and in a new one', async () => {
    await open(async ({ page }) => {
      const isReturn = (location = ''): boolean => location.startsWith(`${url}#code=`)
      const redirect = page.context().waitForEvent('response', reply => isReturn(reply.headers()['location']))
      await start(page)
      const { location: response = '' } = (await redirect).headers()
      await board(page)
      const exchanged = codesExchanged()
      for (const isSignedIn of [true, false]) {
        if (!isSignedIn) await page.getByRole('button', { name: 'Sign out' }).click()
        const replayed = await page.context().newPage()
        await replayed.goto(response)
        await replayed.getByText('No dashboard in this browser waits for this sign-in.').waitFor()
      }
      assert.equal(codesExchanged(), exchanged)
      await page.locator('#sign-in').waitFor()
    })
  })

  test('a token for another audience is refused by the broker, which says so', async () => {
    await open(
      async ({ page }) => {
        issuer.behave({ audience: 'another-service' })
        await start(page)
        await alert(page, /another-service/)
        assert.equal(await page.locator('#board').isVisible(), false)
      },
      [/console: .*401/],
    )
  })

  test('a window that the browser does not open is reported', async () => {
    await open(async ({ page, evaluate }) => {
      await evaluate('void (window.open = () => null)')
      await start(page)
      await alert(page, /Allow pop-up windows/)
    })
  })

  test('a user of Entra signs in with a delegated token, for the scope of the API, and gets no token of a tenant', async t => {
    const port = String(await freePort())
    const page = `http://127.0.0.1:${port}/dashboard`
    const entra = await startIssuer(t, [page], '0f0e0d0c-0000-4000-8000-000000000004')
    const user = { issuer: 'entra', delegated: true, claims: { azp: dashboardClient, oid: objectId } }
    const broker = await world.broker(t, {
      policy: {
        issuers: { entra: { issuer: entra.issuer, audiences: [audience] } },
        rules: [{ name: 'operators', callers: [user], permissions: ['observe'] }],
      },
      environment: { PORT: port, BROKER_DASHBOARD_CLIENT_ID: dashboardClient },
    })
    const isRead = async (): Promise<boolean> => 'server' in (await send(`${page}/sign-in`)).json
    await until('the metadata', isRead)
    await visit(
      browser,
      page,
      async visited => {
        const observed = visited.page.waitForRequest(request => request.url().endsWith('/health'))
        await start(visited.page)
        await board(visited.page)
        const { authorization = '' } = (await observed).headers()
        const body = { tenant: 'contoso', scope: graph }
        const refused = await broker.requestToken(body, { token: authorization.replace('Bearer ', '') })
        assert.deepEqual([refused.status, refused.json['code']], [401, 'invalid_token'])
      },
      { origins: [new URL(entra.issuer).origin] },
    )
  })

  for (const theme of ['light', 'dark'] as const)
    test(`axe-core has no finding on the button and in the window that comes back, ${theme}, 360 px wide`, async () => {
      const options = { theme, width: 360, bypassCSP: true }
      const check = async (visited: Visit): Promise<void> => {
        assert.deepEqual(await findingsOf(visited), [])
        assert.equal(await overflowOf(visited), 0)
      }
      const onButton = async (visited: Visit): Promise<void> => {
        await visited.page.getByRole('button', { name: /^Sign in with localhost:/, disabled: false }).waitFor()
        await check(visited)
      }
      const inWindow = async (visited: Visit): Promise<void> => {
        await visited.page.getByText('No dashboard in this browser waits for this sign-in.').waitFor()
        await check(visited)
      }
      await visit(browser, url, onButton, options)
      await visit(browser, `${url}#state=unknown&error=access_denied`, inWindow, options)
    })

  test('the keyboard alone is enough to sign in', async () => {
    await open(async ({ page, evaluate }) => {
      await page.getByRole('button', { name: /^Sign in with localhost:/, disabled: false }).waitFor()
      world.clock.advance((Date.now() - world.clock.now()) / 1000)
      // The field for a credential has the focus; the button is before it.
      await page.keyboard.press('Shift+Tab')
      assert.equal(await evaluate('document.activeElement.id'), 'issuer-button')
      await page.keyboard.press('Enter')
      await board(page)
    })
  })

  test('once the token has expired, the page shows nothing and asks to sign in again', async () => {
    await open(
      async ({ page }) => {
        await start(page)
        await board(page)
        world.clock.advance(3600)
        await alert(page, /expired/)
        await alert(page, /^Sign in again/)
        assert.equal(await page.locator('#board').isVisible(), false)
        assert.deepEqual(new Set(await page.locator('#failures, #decisions, #facts').allTextContents()), new Set(['']))
      },
      [/console: .*401/],
    )
  })
})
