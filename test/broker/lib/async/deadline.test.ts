import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { withDeadline } from '../../../../src/broker/lib/async/deadline.ts'

const never = () => new Promise<never>(() => undefined)
const expired = () => new Error('expired')

/** The warnings of Node.js from now on. */
function warningsOf(t: TestContext): Error[] {
  const warnings: Error[] = []
  const warned = (warning: Error) => void warnings.push(warning)
  process.on('warning', warned)
  t.after(() => void process.off('warning', warned))
  return warnings
}

for (const [what, ms] of [
  ['just over', 0],
  ['over for long, as after a slow look-up in the second level', -1_234.5],
] as const)
  test(`a caller whose time is ${what} gets the error of the deadline, and Node.js warns of no negative time`, async t => {
    const warnings = warningsOf(t)
    await assert.rejects(withDeadline(never, ms, expired), /expired/)
    await nextTurn()
    assert.deepEqual(warnings, [])
  })

test('work that is done at once is returned, even if no time is left', async () => {
  assert.equal(await withDeadline(() => Promise.resolve('done'), -1, expired), 'done')
})
