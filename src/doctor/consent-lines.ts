import { resourceOf } from '../broker/lib/identifiers.ts'
import { findCode, type CommandContext } from '../outbound/entra/aadsts-codes.ts'
import type { Finding } from './checks.ts'
import type { Exchange } from './exchanges.ts'
import { failureLine } from './failure-lines.ts'

/** The lines of one exchange: whether there was a token, and whether it has permissions. */
export function consentLines(
  { error, roles, target }: Exchange,
  context: CommandContext,
  subject: string,
): readonly Finding[] {
  const { scope, isGranted } = target
  if (error) return [{ id: 'consent.token', ...failureLine(error, context, subject) }]
  const note = isGranted ? '' : '; no rule of the policy grants it yet'
  const token: Finding = {
    id: 'consent.token',
    status: 'ok',
    subject,
    text: `Entra issues a token for ${scope}${note}`,
  }
  return [token, { id: 'consent.permissions', subject, ...permissions(roles, context, resourceOf(scope)) }]
}

/** Roles that are listed. */
const mostRoles = 5

/** Resources with role assignments of Azure instead of application permissions: their tokens never have roles. */
const azureResource =
  /(?:^|\.)(?:azure\.(?:com|net|us|cn)|(?:core|database|vault)\.windows\.net|usgovcloudapi\.net|chinacloudapi\.cn)$/

type Permissions = Pick<Finding, 'status' | 'text' | 'advice' | 'fix'>

function permissions(roles: readonly string[] | undefined, context: CommandContext, resource: string): Permissions {
  if (roles === undefined) return { status: 'skipped', text: 'the token cannot be read' }
  if (roles.length > 0) {
    const more = roles.length > mostRoles ? `, and ${roles.length - mostRoles} more` : ''
    return { status: 'ok', text: `the token has the permissions ${roles.slice(0, mostRoles).join(', ')}${more}` }
  }
  const host = URL.canParse(resource) ? new URL(resource).hostname : ''
  if (azureResource.test(host)) return { status: 'skipped', text: `role assignments of Azure decide about ${resource}` }
  const { clientId, tenant, agentId } = context.target
  if (agentId !== undefined) {
    const consent = `${context.authority}/${tenant}/v2.0/adminconsent?client_id=${agentId}`
    return {
      status: 'warning',
      text: `the token for ${resource} has no permissions (no claim roles)`,
      advice: `An administrator of tenant ${tenant} must assign a role of ${resource} to the agent identity, or consent to it.`,
      fix: [`${consent}&role=${resource}/ROLE&redirect_uri=https://entra.microsoft.com/TokenAuthorize`],
    }
  }
  return {
    status: 'warning',
    text: `the token for ${resource} has no permissions (no claim roles)`,
    advice:
      `Either the registration requests no application permission of ${resource}, or the administrator of tenant ${tenant} ` +
      'consented before it did, and must consent again.',
    fix: [
      `az ad app permission list --id ${clientId}`,
      // The URL for consent is in the row of the code that says that there is none.
      findCode([65001])?.command?.(context) ?? '',
    ],
  }
}
