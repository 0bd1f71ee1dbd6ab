import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { startWorld } from '../support/broker.ts'
import { findingsOf, overflowOf } from './accessibility.ts'
import { startChromium, withBrowser } from './chromium.ts'
import { visit } from './visit.ts'

/** The pages of the broker and of the emulator in a real browser; `test/http/operations/` has their headers and files. */
describe('in a real browser', withBrowser, async () => {
  if (withBrowser.skip !== false) return
  const world = await startWorld()
  const broker = await world.broker({ after })
  const browser = await startChromium({ after })

  test('/docs shows every operation of openapi.yaml, and keeps to its policy', async () => {
    await visit(browser, `${broker.url}/docs`, async ({ page }) => {
      await page.locator('.opblock').first().waitFor()
      const paths = await page.locator('.opblock-summary-path').allInnerTexts()
      assert.ok(
        paths.some(path => path.replaceAll('\u200b', '') === '/tokens'),
        String(paths),
      )
      await page.locator('.opblock-summary-control').first().click()
      await page.locator('.opblock-body').first().waitFor()
      assert.equal(await page.locator('button.authorize, button.execute, button.try-out__btn').count(), 0)
    })
  })

  test("the emulator's page shows its state, and keeps to its policy", async () => {
    world.emulator.fault({ kind: 'throttled', at: 'token', retryAfter: 7 })
    after(() => world.emulator.clearFaults())
    await visit(browser, `${world.emulator.localUrl}/`, async ({ page }) => {
      await page.getByText('"kind":"throttled"').first().waitFor()
      await page.getByRole('status').getByText('Updated at').waitFor()
    })
  })

  for (const theme of ['light', 'dark'] as const)
    test(`axe-core has no finding on the emulator's page, ${theme}, 360 px wide`, async () => {
      const options = { theme, width: 360, bypassCSP: true }
      await visit(
        browser,
        `${world.emulator.localUrl}/`,
        async visited => {
          await visited.page.getByRole('status').getByText('Updated at').waitFor()
          assert.deepEqual(await findingsOf(visited), [])
          assert.equal(await overflowOf(visited), 0)
        },
        options,
      )
    })
})
