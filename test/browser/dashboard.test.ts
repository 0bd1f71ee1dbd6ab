import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { sample } from '../../emulator/options.ts'
import { graph, observers, sampleCaller, startWorld } from '../support/broker.ts'
import { findingsOf, overflowOf } from './accessibility.ts'
import { startChromium, withBrowser } from './chromium.ts'
import { look, onCall, untilMeasured, verdictOf } from './dashboard-world.ts'

/** What a person sees on `/dashboard`. `test/web/` has the sentences of other problems. */
describe('the dashboard in a real browser', withBrowser, async () => {
  if (withBrowser.skip !== false) return
  const world = await startWorld()
  const { emulator, clock } = world
  const browser = await startChromium({ after })
  const rules = [
    { name: 'sample', callers: [sampleCaller], tenants: ['contoso', 'fabrikam', 'tailspin'], scopes: [graph] },
    onCall,
    observers,
  ]
  const startBroker = async (t: Parameters<typeof world.broker>[0]) => {
    const broker = await world.broker(t, { policy: { rules } })
    await broker.service.warmUp()
    await broker.requestToken()
    return broker
  }

  test('all is well, and later it is not: the sentence changes by itself', async t => {
    const broker = await startBroker(t)
    await look(world, browser, broker.url, async ({ page }) => {
      await verdictOf(page).getByText('All well').waitFor()
      await page.getByRole('row', { name: /contoso.*graph.*fresh/ }).waitFor()
      emulator.fault({ kind: 'reset', at: 'token' })
      await broker.requestToken({ tenant: 'fabrikam', scope: graph })
      await verdictOf(page).getByText('Tenant fabrikam gets no new tokens: Entra cannot be reached for it.').waitFor()
      await broker.requestToken({ tenant: 'tailspin', scope: graph })
      await verdictOf(page).getByText('Entra cannot be reached, so only cached tokens are issued.').waitFor()
      await page.getByRole('listitem').filter({ hasText: 'Check DNS, firewall' }).first().waitFor()
    })
  })

  test('a tenant without consent: its name, its id, and a link for its administrator', async t => {
    const broker = await startBroker(t)
    await broker.requestToken({ tenant: 'tailspin', scope: graph })
    await look(world, browser, broker.url, async ({ page }) => {
      await verdictOf(page).getByText('Tenant tailspin gets no new tokens').waitFor()
      const row = page.locator('#failures').getByRole('row', { name: /tailspin/ })
      assert.match(await row.innerText(), new RegExp(sample.tailspin))
      // The remedy is at the top, and nowhere else.
      await row.getByText('see above, under “What to do”').waitFor()
      const link = page.getByRole('link', { name: /adminconsent/ })
      assert.equal(await link.count(), 1)
      assert.match(String(await link.getAttribute('href')), /\/adminconsent\?client_id=/)
      assert.equal(await link.getAttribute('rel'), 'noopener noreferrer')
      await page
        .locator('#decisions')
        .getByRole('row', { name: /failed admin consent is missing/ })
        .waitFor()
    })
  })

  test('a purge needs the name twice', async t => {
    const broker = await startBroker(t)
    await look(world, browser, broker.url, async ({ page }) => {
      await page.getByText('Without Redis, a purge reaches this replica only.').waitFor()
      const button = page.getByRole('button', { name: 'Purge' })
      await page.locator('#purge-tenant').fill('contoso')
      assert.ok(await button.isDisabled())
      await page.locator('#purge-confirm').fill('contos')
      assert.ok(await button.isDisabled())
      await page.locator('#purge-confirm').fill('contoso')
      await button.click()
      await page.getByText('Purged contoso on this replica only: 1 token removed here.').waitFor()
      assert.equal((await broker.get('/cache')).json['entries'], 0)
    })
  })

  test('10,000 tokens: one small page of them is in the document, and a search finds any', async t => {
    const broker = await startBroker(t)
    const [entry] = (await broker.get('/cache/entries')).json['entries'] as object[]
    const all = Array.from({ length: 10_000 }, (_, nth) => ({ ...entry, tenant_name: `customer-${nth}` }))
    await look(world, browser, broker.url, async ({ page }) => {
      await page.route('**/cache/entries?*', route => {
        const query = new URL(route.request().url()).searchParams
        const from = Number(query.get('cursor') ?? 0)
        const to = from + Number(query.get('limit'))
        const body = { entries: all.slice(from, to), next_cursor: to < all.length ? String(to) : null }
        return route.fulfill({ json: body })
      })
      await page.getByRole('searchbox', { name: 'Search' }).fill('customer-987')
      await page.getByText('11 found').waitFor()
      assert.equal(await page.locator('#tokens tbody tr').count(), 11)
      await page.getByRole('searchbox', { name: 'Search' }).fill('')
      await page.getByText('1 to 20 of').waitFor()
      await page.getByRole('button', { name: 'Next page' }).click()
      await page.getByText('21 to 40 of').waitFor()
      assert.equal(await page.locator('#tokens tbody tr').count(), 20)
    })
  })

  test('it can be used with the keyboard alone', async t => {
    const broker = await startBroker(t)
    await look(world, browser, broker.url, async ({ page, evaluate }) => {
      const focused = () => evaluate('document.activeElement.id || document.activeElement.className')
      assert.equal(await focused(), 'main', 'after the sign-in, the focus is at the content')
      await page.keyboard.press('Tab')
      await page.keyboard.press('Tab')
      assert.equal(await focused(), 'tokens-search')
      await page.keyboard.type('fabrikam')
      await page.getByText('0 found').waitFor()
      await evaluate('document.activeElement.blur(); document.body.focus()')
      const stops = new Set<unknown>()
      for (let nth = 0; nth < 20; nth++) {
        await page.keyboard.press('Tab')
        stops.add(await focused())
      }
      for (const id of ['skip', 'sign-out', 'tokens-state', 'decisions-tenant', 'decisions-outcome', 'purge-tenant'])
        assert.ok(stops.has(id), `${id} of ${[...stops].join(', ')}`)
    })
  })

  for (const theme of ['light', 'dark'] as const)
    for (const width of [360, 1280])
      test(`axe-core has no finding, ${theme}, ${width} px wide, and nothing scrolls sideways`, async t => {
        const broker = await startBroker(t)
        await broker.requestToken({ tenant: 'tailspin', scope: graph })
        await broker.requestToken({ tenant: 'contoso', scope: `https://${'long'.repeat(40)}.example/.default` })
        emulator.configure({ clockAhead: 60 })
        clock.advance(3600)
        await broker.requestToken({ tenant: 'fabrikam', scope: graph })
        const options = { theme, width, bypassCSP: true }
        await look(
          world,
          browser,
          broker.url,
          async visited => {
            await untilMeasured(world, visited.page)
            await visited.page.getByText('As numbers').click()
            assert.deepEqual(await findingsOf(visited), [])
            assert.equal(await overflowOf(visited), 0)
          },
          options,
        )
      })
})
