// For code that can change: a credential for every client of the Azure SDK, in ten lines, with no library at all.
import { readFile } from 'node:fs/promises'
import { show } from './show.ts'

const { BROKER = '', TENANT = '', TOKEN_FILE = '' } = process.env

export const brokerCredential = {
  async getToken(scope: string | string[]) {
    const response = await fetch(`${BROKER}/tokens`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${(await readFile(TOKEN_FILE, 'utf8')).trim()}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ tenant: TENANT, scope: [scope].flat()[0] }),
    })
    const answer = await response.json()
    if (!response.ok) throw new Error(`${answer.code}: ${answer.detail} (request_id ${answer.request_id})`)
    return { token: answer.access_token, expiresOnTimestamp: answer.expires_on * 1000 }
  },
}

await show(brokerCredential)
