// The code does not mention the broker. IDENTITY_ENDPOINT and IDENTITY_HEADER select the broker or an agent.
import { ManagedIdentityCredential } from '@azure/identity'
import { show } from './show.ts'

await show(new ManagedIdentityCredential())
