import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { graph, observers, sampleCaller, startWorld } from '../support/broker.ts'
import { findingsOf } from './accessibility.ts'
import { startChromium, withBrowser } from './chromium.ts'
import { look, onCall, signIn, verdictOf } from './dashboard-world.ts'
import { visit } from './visit.ts'

/** What happens to the credential, and to texts of other people, on `/dashboard`. Each visit also checks what is stored. */
describe('the dashboard keeps nothing and runs nothing', withBrowser, async () => {
  if (withBrowser.skip !== false) return
  const world = await startWorld()
  const { emulator, clock } = world
  const browser = await startChromium({ after })
  const evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
  const rules = [
    { name: evil, callers: [sampleCaller], tenants: ['contoso', 'tailspin'], scopes: [graph] },
    onCall,
    observers,
  ]
  const refusedRequest = [/console: Failed to load resource: the server responded with a status of 40[13]/]
  const startBroker = async (t: Parameters<typeof world.broker>[0]) => {
    const broker = await world.broker(t, { policy: { rules } })
    await broker.service.warmUp()
    return broker
  }
  const signInSection = '#sign-in'

  const refused: readonly (readonly [credential: () => Promise<string>, text: RegExp, advice: string, why: string])[] =
    [
      [() => Promise.resolve('nonsense'), /Credential rejected \(401\)/, 'Sign in again', 'a wrong one'],
      [
        () => emulator.mintCallerToken({ sub: 'dashboard' }, { expiresIn: -60 }),
        /Credential rejected \(401\)/,
        'Sign in again',
        'one that has expired',
      ],
      [
        () => emulator.mintCallerToken({ sub: 'stranger' }),
        /Not permitted by the policy \(403\)/,
        'gives the permission observe',
        'one without the permission',
      ],
    ]
  for (const [credential, text, advice, why] of refused)
    test(`a credential that is refused, ${why}: the broker's words, and what to do`, async t => {
      const broker = await startBroker(t)
      const pasted = await credential()
      await visit(
        browser,
        `${broker.url}/dashboard`,
        async ({ page }) => {
          await signIn(page, pasted)
          const alert = page.getByRole('alert').filter({ hasText: advice })
          await alert.waitFor()
          assert.match(await alert.innerText(), text)
          assert.equal(await page.getByLabel('Credential').inputValue(), '')
          assert.ok(!(await page.content()).includes(pasted))
          assert.ok(await page.locator('#board').isHidden())
        },
        { expected: refusedRequest },
      )
    })

  test('what is no credential is not sent', async t => {
    const broker = await startBroker(t)
    await visit(browser, `${broker.url}/dashboard`, async ({ page }) => {
      await signIn(page, 'two words')
      await page.getByText('This is no credential').waitFor()
    })
    assert.equal(broker.events('caller.refused').length, 0)
  })

  for (const [late, isSignedIn] of [
    [2, true],
    [3, false],
  ] as const)
    test(`a broker that is late ${late} times at first: the credential is ${isSignedIn ? 'not ' : ''}to be pasted again`, async t => {
      const broker = await startBroker(t)
      await visit(browser, `${broker.url}/dashboard`, async ({ page, evaluate }) => {
        await evaluate(`{
          const timeout = AbortSignal.timeout.bind(AbortSignal)
          let requests = 0
          AbortSignal.timeout = ms => timeout(requests++ < ${late} ? 0 : ms)
        }`)
        await signIn(page, await emulator.mintCallerToken({ sub: 'on-call' }))
        if (isSignedIn) await verdictOf(page).getByText('All well').waitFor()
        else await page.getByText('It did not respond in time.').waitFor()
      })
    })

  test('the sign-in ends when the credential does: the data is gone, and the page says why', async t => {
    const broker = await startBroker(t)
    await broker.requestToken()
    await look(
      world,
      browser,
      broker.url,
      async ({ page }) => {
        await page.getByRole('row', { name: /contoso/ }).waitFor()
        clock.advance(3700)
        await page.getByText('Credential rejected (401)').waitFor()
        assert.ok(await page.locator('#board').isHidden())
        assert.ok(!(await page.locator('#board').innerHTML()).includes('contoso'))
      },
      { expected: refusedRequest },
    )
  })

  test('the credential is in no part of the page and in no address, and is forgotten when the page is left', async t => {
    const broker = await startBroker(t)
    const requested: string[] = []
    await visit(browser, `${broker.url}/dashboard`, async ({ page }) => {
      page.on('request', request => requested.push(request.url()))
      const credential = await emulator.mintCallerToken({ sub: 'on-call' })
      await signIn(page, credential)
      await verdictOf(page).getByText('All well').waitFor()
      assert.ok(!(await page.content()).includes(credential))
      assert.equal(await page.locator('#credential').inputValue(), '')
      await page.goto('about:blank')
      await page.goBack()
      await page.locator(signInSection).waitFor()
      assert.ok(await page.locator('#board').isHidden())
      assert.ok(requested.every(url => !url.includes(credential)))
    })
  })

  test('sign out forgets the credential and the data', async t => {
    const broker = await startBroker(t)
    await broker.requestToken()
    await look(world, browser, broker.url, async ({ page }) => {
      await page.getByRole('row', { name: /contoso/ }).waitFor()
      await page.getByRole('button', { name: 'Sign out' }).click()
      await page.locator(signInSection).waitFor()
      assert.ok(!(await page.locator('#board').innerHTML()).includes('contoso'))
    })
  })

  test('names that look like markup are shown as they are', async t => {
    const broker = await startBroker(t)
    const subject = `${evil}&amp;"' https://evil.example/`
    const token = await emulator.mintCallerToken({ sub: subject })
    await broker.requestToken({ tenant: 'contoso', scope: `https://<b>bold</b>/.default` }, { token })
    await broker.requestToken({ tenant: 'tailspin', scope: graph })
    await look(world, browser, broker.url, async ({ page, evaluate }) => {
      const decisions = page.locator('#decisions')
      await decisions.getByText('https://<b>bold</b>/.default').waitFor()
      await decisions.getByText(evil).first().waitFor()
      assert.ok((await decisions.innerText()).includes(subject))
      assert.equal(
        await evaluate('document.querySelectorAll("main img, main script, main b:not(.legend b)").length'),
        0,
      )
      assert.equal(await evaluate('document.querySelectorAll("a[href*=evil]").length'), 0, 'no link of a caller')
      assert.equal(await evaluate('document.title'), 'Token broker')
    })
  })

  test('no text becomes markup, even if a script tries', async t => {
    const broker = await startBroker(t)
    await visit(
      browser,
      `${broker.url}/dashboard`,
      async ({ page }) => {
        const attempt = `(() => { try { document.body.innerHTML = '<b>x</b>' } catch (error) { return error.name } })()`
        const failed = await page.evaluate(attempt).catch((thrown: unknown) => String(thrown))
        assert.match(String(failed), /TypeError/)
      },
      { expected: [/TrustedHTML/, /policy: require-trusted-types-for|policy: /] },
    )
  })

  test('a broker that does not respond: since when, and what follows is from then', async t => {
    const broker = await startBroker(t)
    await look(
      world,
      browser,
      broker.url,
      async ({ page }) => {
        await page.route('**/health', route => route.abort())
        await verdictOf(page)
          .getByText(/^No response The broker last responded at \d\d:\d\d:\d\d UTC/)
          .waitFor()
        await page.unroute('**/health')
        await verdictOf(page).getByText('All well').waitFor()
      },
      { expected: [/request failed: GET .*\/health/, /console: Failed to load resource: net::ERR_FAILED/] },
    )
  })

  test('axe-core has no finding on the sign-in', async t => {
    const broker = await startBroker(t)
    for (const theme of ['light', 'dark'] as const)
      await visit(
        browser,
        `${broker.url}/dashboard`,
        async visited => {
          await visited.page.locator(signInSection).waitFor()
          assert.deepEqual(await findingsOf(visited), [])
        },
        { theme, bypassCSP: true },
      )
  })
})
