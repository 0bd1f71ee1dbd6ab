import axe from 'axe-core'
import type { Visit } from './visit.ts'

/** What axe-core finds on a page, one line for each element. Needs `bypassCSP`, because it is injected. */
export async function findingsOf({ evaluate }: Visit): Promise<readonly string[]> {
  await evaluate(`${axe.source}; undefined`)
  const found = await evaluate(`axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
    violations.flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) =>
      [id, help, target.join(' '), failureSummary].join(': '))))`)
  return found as string[]
}

/** How many pixels the page is wider than its window: 0 if nothing scrolls sideways. */
export async function overflowOf({ evaluate }: Visit): Promise<number> {
  return Number(await evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'))
}
