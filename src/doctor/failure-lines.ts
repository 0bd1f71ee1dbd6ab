import { reasonTable, type BrokerError, type Reason } from '../errors.ts'
import type { ReasonRow } from '../reasons/row.ts'
import { findCode, type CommandContext } from '../outbound/entra/aadsts-codes.ts'
import type { Line } from './checks.ts'

/** The message of a failure with Entra's codes and its trace id, which support needs. */
export function textOfFailure({ message, parts: { upstream } }: BrokerError): string {
  const sentence = message.replace(/\.$/, '')
  const codes = (upstream?.codes ?? []).map(code => `AADSTS${code}`)
  const trace = upstream?.traceId === undefined ? [] : [`trace id ${upstream.traceId}`]
  const facts = [...codes, ...trace].join(', ')
  return facts === '' ? sentence : `${sentence} (${facts})`
}

/** For every change of a federated credential. */
const slowly =
  'If it was changed less than ten minutes ago, wait, and run this again. An application has at most 20 federated ' +
  'credentials: if Azure CLI reports that, delete one first.'

/** Whether a failure concerns a whole application, and with a blueprint all of its agent identities. */
export const isOfApplication = ({ parts, handling }: BrokerError): boolean =>
  (parts.level ?? handling.cachedFor) === 'application'

/** The line of an exchange that failed: the remedy and the command of the AADSTS code, else the remedy of the reason. */
export function failureLine(error: BrokerError, context: CommandContext, subject: string): Line {
  const codes = error.parts.upstream?.codes ?? []
  const isOfAgent = context.target.agentId !== undefined && !isOfApplication(error)
  // The commands are for applications.
  const command = isOfAgent ? undefined : findCode(codes)?.command?.(context)
  const remedy = error.parts.remedy ?? remedyOfReason(error)
  const advice = [command === undefined ? [] : [remedy], error.reason === 'federation' && !isOfAgent ? [slowly] : []]
    .flat()
    .join(' ')
  return {
    status: 'failed',
    subject,
    text: textOfFailure(error),
    ...(advice !== '' && { advice }),
    fix: [command ?? remedy],
  }
}

/** What docs/errors.md says about the reason, without the marks of Markdown. */
export function remedyOfReason({ code, reason }: BrokerError): string {
  const reasons: Readonly<Partial<Record<Reason, ReasonRow>>> = reasonTable[code]
  return (reasons[reason]?.remedy ?? `look up ${code} in docs/errors.md`).replaceAll(/[`*<>]/g, '')
}
