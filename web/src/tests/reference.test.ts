// The reference page reads a document of the kind that the server writes.

import { describe, expect, it } from 'vitest';
import { curl, example, groups, outline, typeName, type Document } from '../lib/reference';

const doc: Document = {
  tags: [{ name: 'Rooms' }],
  security: [{ bearer: [] }],
  paths: {
    '/api/rooms/{id}': {
      get: {
        operationId: 'get-room',
        tags: ['Rooms'],
        summary: 'One room.',
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
        responses: { 200: { description: 'It.', content: { 'application/json': { schema: { $ref: '#/components/schemas/Room' } } } } },
      },
    },
    '/api/rooms': {
      post: {
        operationId: 'create-room',
        tags: ['Rooms'],
        requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/NewRoom' } } } },
        responses: {},
      },
    },
    '/api/public/rooms': { get: { tags: ['Rooms'], security: [{}, { bearer: [] }], responses: {} } },
    '/api/rooms/{id}/search': { get: { tags: ['Rooms'], security: [{}, { bearer: [] }], responses: {} } },
    '/api/keys': { post: { tags: ['Keys'], security: [{}], responses: {} } },
  } as unknown as NonNullable<Document['paths']>,
  components: {
    schemas: {
      NewRoom: { type: 'object', required: ['name'], properties: { name: { type: 'string' }, media: { $ref: '#/components/schemas/Media' } } },
      Media: { type: 'string', enum: ['audio', 'screenshare'] },
      Room: {
        type: 'object',
        required: ['id'],
        properties: {
          id: { type: 'string', description: 'Its id.' },
          parent: { oneOf: [{ type: 'null' }, { $ref: '#/components/schemas/Room' }] },
          at: { type: ['string', 'null'], format: 'date-time' },
        },
      },
    },
  },
};

describe('the API reference', () => {
  const [rooms, keys] = groups(doc);

  it('groups operations by tag', () => {
    expect(rooms?.operations.map((one) => `${one.method} ${one.path}`)).toEqual([
      'GET /api/rooms/{id}',
      'POST /api/rooms',
      'GET /api/public/rooms',
      'GET /api/rooms/{id}/search',
    ]);
    expect(keys?.name).toBe('Keys');
    expect(keys?.operations[0]?.open).toBe(true);
  });

  it('draws schemas as lines and stops at what contains itself', () => {
    expect(outline(doc, { $ref: '#/components/schemas/Room' }).map((line) => `${line.depth} ${line.name} ${line.type} ${line.required}`)).toEqual([
      '0 id string true',
      '0 parent null | Room false',
      '0 at date-time | null false',
    ]);
    expect(outline(doc, { type: 'array', items: { $ref: '#/components/schemas/NewRoom' } })[1]?.type).toBe('"audio" | "screenshare"');
    expect(typeName({ type: 'array', items: { $ref: '#/x/Room' } })).toBe('Room[]');
  });

  it('gives an example and a command', () => {
    expect(example(doc, { $ref: '#/components/schemas/NewRoom' })).toEqual({ name: '…' });
    const create = rooms!.operations[1]!;
    expect(curl(doc, create, 'http://localhost')).toBe(
      'curl -X POST "http://localhost/api/rooms" \\\n  -H "Authorization: Bearer $MEET_AI_KEY" \\\n  -H \'Content-Type: application/json\' \\\n  -d \'{"name":"…"}\'',
    );
    expect(curl(doc, rooms!.operations[0]!, 'http://localhost')).toContain('/api/rooms/$ID"');
    const asks = (path: string) => curl(doc, rooms!.operations.find((one) => one.path === path)!, '').includes('Bearer $MEET_AI_KEY');
    expect([asks('/api/rooms/{id}/search'), asks('/api/public/rooms')]).toEqual([true, false]);
  });
});
