import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Emulator } from '../../emulator/emulator.ts'
import type { Json } from '../../emulator/jws.ts'
import type { CheckId } from '../../src/doctor/check-table.ts'
import { idsOf, textOf, type Case, type DoctorWorld } from './world.ts'

/** One planted fault: what fails, and nothing else; what the line of the first says. */
export interface Planted extends Case {
  readonly fault: string
  readonly plant?: (emulator: Emulator) => void
  /** All checks that fail, the first one first. */
  readonly fails: readonly CheckId[]
  readonly says: RegExp
  /** Checks that must have been skipped, since they depend on it. */
  readonly skips?: readonly CheckId[]
  readonly exchanges?: number
}

/** One test for each fault. */
export function testFaults(world: DoctorWorld, rows: readonly Planted[]): void {
  describe('the planted fault is what fails, and nothing that follows from it', () => {
    for (const { fault, plant, fails, says, skips = [], exchanges, ...differing } of rows)
      test(fault, async t => {
        plant?.(world.emulator)
        const report = await world.examine(t, differing)
        assert.deepEqual(idsOf(report, 'failed'), fails)
        const [first] = fails
        assert.equal(report.first?.id, first)
        assert.match(textOf(report, first ?? 'settings.environment'), says)
        for (const id of skips) assert.ok(idsOf(report, 'skipped').includes(id), `${id} is skipped`)
        if (exchanges !== undefined) assert.equal(report.exchanges, exchanges)
      })
  })
}

/** Entra responds with this code to every exchange. */
export const aadsts =
  (code: number) =>
  (emulator: Emulator): void =>
    emulator.fault({ kind: 'aadsts', at: 'token', code })

/** A policy with one tenant, whose name is `only`. */
export const only = (tenant: string): Json => ({ tenants: { only: tenant } })
