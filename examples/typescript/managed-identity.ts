// IDENTITY_ENDPOINT and IDENTITY_HEADER lead to the broker or to an agent; nothing here knows.
import { ManagedIdentityCredential } from '@azure/identity'
import { show } from './show.ts'

await show(new ManagedIdentityCredential())
