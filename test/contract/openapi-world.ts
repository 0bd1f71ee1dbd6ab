import { sample } from '../../emulator/options.ts'
import { type BrokerOptions, graph, startWorld, type World } from '../support/broker.ts'
import { document } from './openapi-document.ts'

/** A world in which the names and ids of the document's examples exist, and more that the examples of errors need. */

const { value } = document.components.examples['consent_required'] ?? {}
/** The ids in the consent URL of the example. */
const [, contoso = '', application = ''] = /\/([0-9a-f-]{36})\/adminconsent\?client_id=([0-9a-f-]{36})/.exec(
  JSON.stringify(value),
) ?? ['', '', '']

export const documentedWorld = (): Promise<World> =>
  startWorld({
    applications: [{ clientId: application }],
    tenants: [{ id: contoso }, { id: sample.tailspin, consented: [] }],
  })

export const brokerOptions = ({ emulator }: World): BrokerOptions => ({
  policy: {
    applications: { default: application, reporting: application },
    tenants: { contoso, tailspin: sample.tailspin },
    issuers: { onprem: { issuer: emulator.callerIssuer, audiences: ['token-broker'] } },
    rules: [
      {
        name: 'tokens',
        callers: [{ issuer: 'onprem', subject: 'sample-caller' }],
        tenants: ['contoso', 'tailspin'],
        scopes: [graph],
        applications: ['default', 'reporting'],
      },
      { name: 'purgers', callers: [{ issuer: 'onprem', subject: 'dashboard' }], permissions: ['purge'] },
      { name: 'dashboards', callers: [{ issuer: 'onprem', subject: 'dashboard' }], permissions: ['observe'] },
    ],
  },
})
