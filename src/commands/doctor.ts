import { tenantPattern } from '../broker/lib/identifiers.ts'
import { examine } from '../doctor/doctor.ts'
import { closingText, createTextWriter } from '../doctor/report.ts'
import { exitCodes } from '../exit.ts'
import { usage, type Command } from './command.ts'

const tenantForm = new RegExp(`^${tenantPattern}$`)

/** `token-broker doctor`: says why a broker with this environment does not work. */
export const doctorCommand: Command = {
  name: 'doctor',
  takes: [],
  about:
    'find out why the broker does not work. It reads the environment of serve, and checks the settings,\n' +
    'the way to Entra, the managed identity, the federated credential, the consent of tenants, the keys of issuers, and\n' +
    'Redis. It changes nothing, prints no token, and requests at most 20 tokens. docs/doctor.md describes each check.',
  options: {
    tenant: {
      type: 'string',
      value: 'TENANT',
      help: 'check this tenant only: its name in the policy, or its id; default: every tenant that the policy names',
    },
    json: { type: 'boolean', help: 'print one JSON document instead of lines for people' },
  },
  exits: [
    [exitCodes.stopped, 'nothing failed; there may be warnings'],
    [exitCodes.usage, 'wrong usage of this command'],
    [exitCodes.unwell, 'a check failed'],
  ],
  leavesWork: true,
  run: async ({ options: { tenant, json }, environment, out }) => {
    if (typeof tenant === 'string' && !tenantForm.test(tenant))
      throw usage(`--tenant must be the name of a tenant in the policy, or its id; got "${tenant}"`, 'doctor')
    const found = json === true ? () => undefined : createTextWriter(out)
    const report = await examine({ environment, found, tenant: typeof tenant === 'string' ? tenant : undefined })
    out(json === true ? `${JSON.stringify(report, null, 2)}\n` : closingText(report))
    return report.ok ? exitCodes.stopped : exitCodes.unwell
  },
}
