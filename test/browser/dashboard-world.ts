import type { Browser, Page } from 'playwright-core'
import type { Json } from '../../emulator/jws.ts'
import type { World } from '../support/broker.ts'
import { visit, type Visit, type VisitOptions } from './visit.ts'

/** A caller that may observe and purge: the one who looks at the dashboard. */
export const onCall: Json = {
  name: 'on call',
  callers: [{ issuer: 'emulator', subject: 'on-call' }],
  permissions: ['observe', 'purge'],
}

/** Pastes a credential and sends the form, as a person does. */
export async function signIn(page: Page, credential: string): Promise<void> {
  await page.getByLabel('Credential').fill(credential)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** The sentence at the top. */
export const verdictOf = (page: Page) => page.locator('#verdict')

/** Moves the clock on, round by round, until a chart has a line: it has two points, and each is of two measurements. */
export async function untilMeasured({ clock }: World, page: Page): Promise<void> {
  while ((await page.locator('#rates-charts polyline').count()) === 0) {
    clock.advance(5)
    await page.waitForResponse(/\/cache$/)
  }
}

/** Opens the dashboard, signs in, and waits for the verdict. */
export function look(
  { emulator }: World,
  browser: Browser,
  url: string,
  use: (visit: Visit) => Promise<void>,
  options: VisitOptions = {},
): Promise<void> {
  return visit(
    browser,
    `${url}/dashboard`,
    async visited => {
      await signIn(visited.page, await emulator.mintCallerToken({ sub: 'on-call' }))
      await verdictOf(visited.page).locator('strong').waitFor()
      await use(visited)
    },
    options,
  )
}
