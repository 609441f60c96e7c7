// Does to a FHIR endpoint what a hospital's system would, with fhir-kit-client, and prints what it
// was answered: node client.mjs BASE TOKEN. Each line is a step and what came of it.
import Client from 'fhir-kit-client';

const [, , baseUrl, bearerToken] = process.argv;
const client = new Client({ baseUrl, bearerToken });
const stranger = new Client({ baseUrl });

const doe = (more) => ({ resourceType: 'Patient', name: [{ family: 'Doe' }], ...more });
const bundle = (type, ...entry) => ({ resourceType: 'Bundle', type, entry });
const entry = (method, url, resource) => ({ request: { method, url }, resource });
const status = (answer) => Client.httpFor(answer).response.status;

const steps = {
  capabilities: async () => {
    const c = await client.capabilityStatement();
    const patient = c.rest[0].resource.find((r) => r.type === 'Patient');
    return [c.fhirVersion, ...patient.interaction.map((i) => i.code)];
  },
  create: async () => {
    const answer = await client.create({ resourceType: 'Patient', body: doe() });
    return [status(answer), Client.httpFor(answer).response.headers.get('location').split('/').slice(-4, -3)];
  },
  update: async () => [status(await client.update({ resourceType: 'Patient', id: 'p1', body: doe({ id: 'p1' }) }))],
  transaction: async () => {
    const body = bundle('transaction', entry('PUT', 'Patient/p2', doe({ id: 'p2' })), entry('POST', 'Organization', { resourceType: 'Organization', name: 'North' }));
    const answer = await client.transaction({ body });
    return [answer.type, ...answer.entry.map((e) => e.response.status)];
  },
  batch: async () => {
    const answer = await client.batch({ body: bundle('batch', entry('PUT', 'Patient/p3', doe({ id: 'p3' })), entry('POST', 'Patient', doe({ gender: 'Canaryson' }))) });
    return [answer.type, ...answer.entry.map((e) => e.response.status)];
  },
  delete: async () => [status(await client.delete({ resourceType: 'Patient', id: 'p1' }))],
  invalid: () => client.create({ resourceType: 'Patient', body: doe({ gender: 'Canaryson' }) }),
  conditional: () => client.create({ resourceType: 'Patient', body: doe(), options: { headers: { 'If-None-Exist': 'identifier=a|b' } } }),
  read: () => client.read({ resourceType: 'Patient', id: 'p1' }),
  search: () => client.search({ resourceType: 'Patient', searchParams: { family: 'Doe' } }),
  stranger: () => stranger.create({ resourceType: 'Patient', body: doe() }),
};

for (const [name, step] of Object.entries(steps)) {
  let result;
  try {
    result = await step();
  } catch (e) {
    const issue = e.response?.data?.issue?.[0];
    result = [e.response?.status ?? e.message, issue?.code, ...(issue?.expression ?? [])];
  }
  console.log([name, ...result].filter(Boolean).join(' '));
}
