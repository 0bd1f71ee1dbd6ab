import assert from 'node:assert/strict'
import { after, describe, type TestContext, test } from 'node:test'
import { graph, startWorld } from '../support/broker.ts'
import { type FaultName, plantedFaults } from '../web/planted-faults.ts'
import { startChromium, withBrowser } from './chromium.ts'
import { look, onCall, untilMeasured, verdictOf } from './dashboard-world.ts'
import type { Visit } from './visit.ts'

/** What a person sees of a broker in which one thing is broken. `test/web/faults.test.ts` has the texts of all ten. */
describe('a planted fault in a real browser', withBrowser, async () => {
  if (withBrowser.skip !== false) return
  const world = await startWorld()
  const faults = await plantedFaults(world, [onCall])
  const browser = await startChromium({ after })

  /** Opens the page of a broker with this fault. */
  const lookAt = async (t: TestContext, name: FaultName, use: (visit: Visit) => Promise<void>, width = 1280) => {
    const { start, plant } = faults[name]
    const broker = await start(t)
    await broker.service.warmUp()
    await broker.requestToken()
    await plant(broker)
    await look(world, browser, broker.url, use, { width })
  }
  const tileOf = ({ page }: Visit, title: string) =>
    page.locator('#way > li').filter({ has: page.getByRole('heading', { name: title, exact: true }) })
  const isTile = async (visit: Visit, title: string, level: string, word: string) => {
    const tile = tileOf(visit, title)
    await tile.getByText(word).waitFor()
    assert.equal(await tile.getAttribute('class'), level)
    const others = await visit.page.locator('#way > li:is(.failing, .attention)').count()
    assert.equal(others, 1, 'no other tile has the colour of a problem')
  }

  test('policy refused: what is wrong, in which file, and the tile of the policy in the same colour', async t => {
    await lookAt(t, 'the new policy is refused', async visit => {
      const { page } = visit
      await verdictOf(page)
        .getByText(/^Needs attention The new policy file is invalid/)
        .waitFor()
      const todo = page.locator('#actions')
      await todo.getByText('Correct the file, or put the previous one back.').waitFor()
      await todo.getByText(/^Do not restart or add replicas now\./).waitFor()
      await todo
        .locator('dt')
        .getByText(/^rules/)
        .waitFor()
      await todo.getByText(/^\/\S+\/policy\.yaml$/).waitFor()
      await page
        .locator('#affected')
        .getByText(/^Affected: no request yet, but a replica that restarts .* start\. Since \d\d:\d\d:\d\d UTC/)
        .waitFor()
      assert.equal(await page.getByText('The new policy file is invalid').count(), 1, 'the verdict is not repeated')
      await isTile(visit, 'Policy', 'attention', 'new file refused')
    })
  })

  test('the federated credential: issuer, subject and audience to compare, and the remedy once', async t => {
    await lookAt(t, 'the federated credential is wrong', async visit => {
      const { page } = visit
      const facts = page.locator('#actions dl')
      assert.match(
        (await facts.innerText()).replaceAll(/\s+/g, ' '),
        /^Issuer https:\S+\/v2\.0 Subject \S+-00000000000b Audience api:\/\/AzureADTokenExchange$/,
      )
      assert.equal(await page.getByText("set the credential's subject to exactly").count(), 1)
      await page.locator('#failures').getByText('see above, under “What to do”').waitFor()
      await isTile(visit, 'Entra', 'failing', 'credential refused')
    })
  })

  test('the identity endpoint: that a restart harms comes before every action, and no list says that nothing failed', async t => {
    await lookAt(t, 'the identity endpoint is unavailable', async visit => {
      const { page } = visit
      const lines = await page.locator('#actions .finding').first().locator('.warning, li').allInnerTexts()
      assert.match(lines[0] ?? '', /^Do not restart the replica now\. A restart loses 1 cached token/)
      assert.match(lines.at(-1) ?? '', /^Restart the replica only if/)
      await page
        .locator('#affected')
        .getByText(/expires at (\S+ )?\d\d:\d\d UTC \(in/)
        .waitFor()
      await page
        .locator('#failures')
        .getByText('No failure of an application or a tenant is cached. “What to do”, above, says what is wrong.')
        .waitFor()
      await isTile(visit, 'Managed identity', 'failing', 'no token')
    })
  })

  test('a caller above its limit is limited, not failed, and the limit is beside it', async t => {
    await lookAt(t, 'one caller is at its limit', async visit => {
      const row = visit.page.locator('#decisions').getByRole('row', { name: /sample-caller/ })
      await row.getByText('limited', { exact: true }).waitFor()
      await row.getByText('to 2 requests per minute').waitFor()
      await isTile(visit, 'Policy', 'attention', '1 caller limited')
    })
  })

  for (const [width, rows] of [
    [1280, 1],
    [1000, 2],
    [360, 4],
  ] as const)
    test(`${width} px wide, the tiles are in ${rows} full rows, also with Redis`, async t => {
      await lookAt(
        t,
        'Redis is gone',
        async visit => {
          await isTile(visit, 'Redis', 'attention', 'unavailable')
          const tops = (await visit.evaluate(
            '[...document.querySelectorAll("#way > li")].map(each => Math.round(each.getBoundingClientRect().top))',
          )) as number[]
          const inRow = [...Map.groupBy(tops, top => top).values()].map(({ length }) => length)
          assert.deepEqual(
            inRow,
            Array.from({ length: rows }, () => 8 / rows),
          )
        },
        width,
      )
    })

  test('an empty chart says so, until there are two measurements', async t => {
    await lookAt(t, 'Redis is gone', async ({ page, evaluate }) => {
      await page.locator('#rates-charts').getByText('Not enough data yet').first().waitFor()
      assert.equal(await page.locator('#rates-charts svg').count(), 0)
      await untilMeasured(world, page)
      // Nothing was issued, so there is nothing to have a share or a duration of.
      assert.equal(await page.getByText('Not enough data yet').count(), 3)
      assert.ok((await page.getByText(/^No data before \S+ UTC\.$/).count()) > 0)
      const overlaps = await evaluate(`[...document.querySelectorAll('figure')].flatMap(figure =>
        [...figure.children].map(each => each.getBoundingClientRect())
          .filter((box, nth, all) => nth > 0 && box.top < all[nth - 1].bottom - 1)).length`)
      assert.equal(overlaps, 0, 'nothing of a chart is on top of the rest')
    })
  })

  test('names of rules, codes and titles of charts stay in one line', async t => {
    const broker = await faults['a tenant has revoked its consent'].start(t)
    await broker.service.warmUp()
    await faults['a tenant has revoked its consent'].plant(broker)
    await broker.requestToken({ tenant: 'contoso', scope: `https://${'long'.repeat(40)}.example/.default` })
    for (const width of [1280, 800])
      await look(
        world,
        browser,
        broker.url,
        async ({ page, evaluate }) => {
          await page.locator('#decisions').getByText('AADSTS7000229').waitFor()
          const lines = await evaluate(`[...document.querySelectorAll('td .kept, .state, figcaption')]
            .flatMap(each => [...each.firstChild.textContent.matchAll(/\\S+/g)].map(({ 0: word, index }) => {
              const range = document.createRange()
              range.setStart(each.firstChild, index)
              range.setEnd(each.firstChild, index + word.length)
              return [word, new Set([...range.getClientRects()].map(({ top }) => top)).size]
            })).filter(([, lines]) => lines > 1)`)
          assert.deepEqual(lines, [])
          assert.equal(await evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'), 0)
          assert.ok((await page.locator('td .kept').getByText('sample', { exact: true }).count()) > 0)
        },
        { width },
      )
    assert.equal((await broker.requestToken({ tenant: 'contoso', scope: graph })).status, 200)
  })
})
