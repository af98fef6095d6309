-- Everything that a database consists of: kind, on, name, definition. See runbooks/migrations/catalog.py.
--
-- Run with search_path = pg_catalog, so that every name comes out qualified and quoted. The first branch makes all
-- columns of the UNION text: with type name, identifiers would be cut after 63 bytes and could fall together.
WITH
member AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
space AS MATERIALIZED (
    SELECT oid, quote_ident(nspname) AS id, nspowner, nspacl FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
class AS MATERIALIZED (
    SELECT c.*, s.id || '.' || quote_ident(c.relname) AS id,
        CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'TABLE' WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE'
            WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' END AS word
    FROM pg_class c JOIN space s ON s.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)),
rel AS MATERIALIZED (SELECT * FROM class WHERE relkind IN ('r', 'p', 'v', 'm', 'f')),
att AS MATERIALIZED (
    SELECT a.*, r.id AS rel, r.relkind, quote_ident(a.attname) AS id, t.typcollation, t.typstorage
    FROM pg_attribute a JOIN rel r ON r.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped),
ind AS MATERIALIZED (
    SELECT i.*, r.id AS rel, c.id, c.reloptions, c.reltablespace, c.relispartition,
        EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')) AS backs
    FROM pg_index i JOIN rel r ON r.oid = i.indrelid JOIN class c ON c.oid = i.indexrelid),
seq AS MATERIALIZED (SELECT * FROM class WHERE relkind = 'S'),
fun AS MATERIALIZED (
    SELECT p.*, p.oid::regprocedure::text AS id,
        CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS word
    FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
        -- nor what belongs to a range type, as its constructors
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            AND d.deptype = 'i')),
typ AS MATERIALIZED (
    SELECT t.*, s.id || '.' || quote_ident(t.typname) AS id, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END AS word
    FROM pg_type t JOIN space s ON s.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c'
            OR t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid))
        AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)),
con AS MATERIALIZED (  -- not those that follow from a constraint of the parent table, which have made-up names
    SELECT k.*, quote_ident(k.conname) AS id FROM pg_constraint k
    WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND (k.conparentid = 0 OR k.contype <> 'f')),
owned AS (
    SELECT 'SCHEMA' AS word, id, nspowner AS owner, nspacl AS acl, acldefault('n', nspowner) AS usual FROM space
    UNION ALL SELECT word, id, relowner, relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)
        FROM class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT word, id, proowner, proacl, acldefault('f', proowner) FROM fun
    UNION ALL SELECT word, id, typowner, typacl, acldefault('T', typowner) FROM typ
    UNION ALL SELECT 'FOREIGN SERVER', quote_ident(srvname), srvowner, srvacl, acldefault('S', srvowner)
        FROM pg_foreign_server
    UNION ALL SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname), fdwowner, fdwacl, acldefault('F', fdwowner)
        FROM pg_foreign_data_wrapper
        WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_foreign_data_wrapper'::regclass AND m.objid = oid)
    UNION ALL SELECT 'LANGUAGE', quote_ident(lanname), lanowner, lanacl, acldefault('l', lanowner) FROM pg_language
        WHERE lanispl AND NOT EXISTS (
            SELECT FROM member m WHERE m.classid = 'pg_language'::regclass AND m.objid = oid)
    UNION ALL SELECT 'PUBLICATION', quote_ident(pubname), pubowner, NULL, NULL FROM pg_publication
    UNION ALL SELECT 'EVENT TRIGGER', quote_ident(evtname), evtowner, NULL, NULL FROM pg_event_trigger)

SELECT 'schema'::text AS kind, ''::text AS "on", id::text AS name, ''::text AS definition FROM space
UNION ALL
SELECT 'extension', '', quote_ident(extname), extversion || ' SCHEMA ' || quote_ident(n.nspname)
FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace

-- tables and what hangs on them
UNION ALL
SELECT CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END, '', r.id, concat_ws(' ',
    CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
    'PARTITION BY ' || CASE relkind WHEN 'p' THEN pg_get_partkeydef(r.oid) END,
    'OF ' || CASE WHEN reloftype <> 0 THEN format_type(reloftype, NULL) END,
    'USING ' || (SELECT quote_ident(amname) FROM pg_am WHERE pg_am.oid = relam AND amname <> 'heap'),
    (SELECT 'SERVER ' || quote_ident(srvname) || coalesce(' OPTIONS (' || array_to_string(ftoptions, ', ') || ')', '')
        FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = r.oid))
FROM rel r WHERE relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'partition', p.id, r.id, pg_get_expr(r.relpartbound, r.oid) || CASE WHEN i.inhdetachpending
    THEN ' DETACH PENDING' ELSE '' END
FROM pg_inherits i JOIN rel r ON r.oid = i.inhrelid JOIN rel p ON p.oid = i.inhparent WHERE r.relispartition
UNION ALL
SELECT 'inherits', r.id, p.id, '' FROM pg_inherits i JOIN rel r ON r.oid = i.inhrelid JOIN rel p ON p.oid = i.inhparent
WHERE NOT r.relispartition
UNION ALL
SELECT 'row security', '', id, concat_ws(', ', CASE WHEN relrowsecurity THEN 'ENABLE' END,
    CASE WHEN relforcerowsecurity THEN 'FORCE' END)
FROM rel WHERE relrowsecurity OR relforcerowsecurity
UNION ALL
SELECT 'replica identity', '', r.id, CASE relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
    ELSE 'USING INDEX ' || coalesce((SELECT quote_ident(c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid = r.oid AND i.indisreplident), '(dropped)') END
FROM rel r WHERE relkind IN ('r', 'p') AND relreplident <> 'd'
UNION ALL
SELECT CASE relkind WHEN 'v' THEN 'view option' ELSE 'table option' END, r.id, split_part(o, '=', 1),
    substr(o, strpos(o, '=') + 1)
FROM rel r, unnest(reloptions) o
UNION ALL
SELECT 'table option', r.id, 'toast.' || split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)
FROM rel r JOIN pg_class t ON t.oid = r.reltoastrelid, unnest(t.reloptions) o
UNION ALL
SELECT 'tablespace', word, r.id, quote_ident(spcname)
FROM (SELECT word, id, reltablespace FROM rel UNION ALL SELECT 'INDEX', id, reltablespace FROM ind) r
JOIN pg_tablespace t ON t.oid = r.reltablespace

-- columns
UNION ALL
SELECT 'column', rel, id, format_type(atttypid, atttypmod) FROM att WHERE relkind IN ('r', 'p', 'f')
UNION ALL
SELECT CASE attgenerated WHEN '' THEN 'column default' ELSE 'column generated' END, a.rel, a.id,
    CASE attgenerated WHEN '' THEN pg_get_expr(adbin, adrelid)
    ELSE 'GENERATED ALWAYS AS (' || pg_get_expr(adbin, adrelid) || ') '
        || CASE attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END END
FROM att a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL  -- PostgreSQL 18 has NOT NULL as constraints, too: of those only what a plain NOT NULL does not say
SELECT 'column not null', a.rel, a.id, concat_ws(' ',
    CASE WHEN NOT k.convalidated THEN 'NOT VALID' END, CASE WHEN k.connoinherit THEN 'NO INHERIT' END)
FROM att a LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
WHERE a.attnotnull AND a.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'column identity', rel, id, 'GENERATED ' || CASE attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END
    || ' AS IDENTITY'
FROM att WHERE attidentity <> ''
UNION ALL
SELECT 'column collation', a.rel, a.id, quote_ident(n.nspname) || '.' || quote_ident(c.collname)
FROM att a JOIN pg_collation c ON c.oid = a.attcollation JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE a.attcollation <> a.typcollation AND a.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT 'column storage', rel, id, CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
    ELSE 'EXTENDED' END
FROM att WHERE attstorage <> typstorage AND relkind <> 'v'
UNION ALL  -- -1 up to PostgreSQL 16, NULL from 17 on
SELECT 'column statistics', rel, id, attstattarget::text FROM att WHERE attstattarget >= 0
UNION ALL
SELECT 'column compression', rel, id, CASE attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4'
    ELSE attcompression::text END
FROM att WHERE attcompression <> '' AND relkind <> 'v'
UNION ALL
SELECT 'column option', rel || '.' || id, split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)
FROM att, unnest(attoptions || attfdwoptions) o

-- constraints, indexes, triggers, rules, policies, statistics
UNION ALL
SELECT 'constraint', r.id, k.id, pg_get_constraintdef(k.oid) FROM con k JOIN rel r ON r.oid = k.conrelid
UNION ALL  -- ALTER TABLE ... DISABLE TRIGGER ALL turns foreign keys off, too
SELECT 'constraint state', r.id, quote_ident(k.conname), string_agg(DISTINCT t.tgenabled::text, ', ')
FROM pg_trigger t JOIN rel r ON r.oid = t.tgrelid JOIN pg_constraint k ON k.oid = t.tgconstraint
WHERE t.tgisinternal AND t.tgenabled <> 'O' AND t.tgparentid = 0 GROUP BY 2, 3
UNION ALL  -- those that stand behind a constraint are said by it
SELECT 'index', rel, id, pg_get_indexdef(indexrelid) FROM ind WHERE NOT backs
UNION ALL
SELECT 'index option', id, split_part(o, '=', 1), substr(o, strpos(o, '=') + 1) FROM ind, unnest(reloptions) o WHERE backs
UNION ALL
SELECT 'index invalid', rel, id, concat_ws(', ', CASE WHEN NOT indisvalid THEN 'invalid' END,
    CASE WHEN NOT indisready THEN 'not ready' END, CASE WHEN NOT indislive THEN 'not live' END)
FROM ind WHERE NOT (indisvalid AND indisready AND indislive)
UNION ALL
SELECT 'index clustered', rel, id, '' FROM ind WHERE indisclustered
UNION ALL
SELECT 'index partition', p.id, i.id, '' FROM ind i JOIN pg_inherits h ON h.inhrelid = i.indexrelid
JOIN ind p ON p.indexrelid = h.inhparent WHERE NOT i.backs
UNION ALL
SELECT 'index statistics', i.id, a.attnum::text, a.attstattarget::text
FROM pg_attribute a JOIN ind i ON i.indexrelid = a.attrelid WHERE a.attstattarget >= 0
UNION ALL
SELECT 'trigger', r.id, quote_ident(t.tgname), pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN rel r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgparentid = 0
UNION ALL
SELECT 'trigger state', r.id, quote_ident(t.tgname), CASE t.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R'
    THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END
FROM pg_trigger t JOIN rel r ON r.oid = t.tgrelid LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
WHERE (NOT t.tgisinternal OR t.tgparentid <> 0 AND NOT p.tgisinternal) AND t.tgenabled <> coalesce(p.tgenabled, 'O')
UNION ALL
SELECT 'rule', r.id, quote_ident(w.rulename), rtrim(pg_get_ruledef(w.oid), ';')
FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT 'rule state', r.id, quote_ident(w.rulename), CASE w.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R'
    THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END
FROM pg_rewrite w JOIN rel r ON r.oid = w.ev_class WHERE w.ev_enabled <> 'O'
UNION ALL
SELECT 'policy', r.id, quote_ident(p.polname), concat_ws(' ',
    'CREATE POLICY', quote_ident(p.polname), 'ON', r.id, CASE WHEN NOT polpermissive THEN 'AS RESTRICTIVE' END,
    'FOR ' || CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
        ELSE 'ALL' END,
    'TO ' || (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', '
        ORDER BY pg_get_userbyid(o)) FROM unnest(polroles) o),
    'USING (' || pg_get_expr(polqual, polrelid) || ')', 'WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')')
FROM pg_policy p JOIN rel r ON r.oid = p.polrelid
UNION ALL
SELECT 'statistics', r.id, s.id || '.' || quote_ident(x.stxname), pg_get_statisticsobjdef(x.oid)
FROM pg_statistic_ext x JOIN rel r ON r.oid = x.stxrelid JOIN space s ON s.oid = x.stxnamespace
UNION ALL
SELECT 'statistics target', r.id, s.id || '.' || quote_ident(x.stxname), x.stxstattarget::text
FROM pg_statistic_ext x JOIN rel r ON r.oid = x.stxrelid JOIN space s ON s.oid = x.stxnamespace
WHERE x.stxstattarget >= 0

-- views and sequences
UNION ALL
SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, '', r.id,
    'CREATE ' || word || ' ' || id || ' AS' || chr(10) || rtrim(pg_get_viewdef(r.oid), ';')
FROM rel r WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'materialized view populated', '', id, '' FROM rel WHERE relkind = 'm' AND relispopulated
UNION ALL
SELECT 'sequence', '', c.id, concat_ws(' ', CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
    'AS', format_type(seqtypid, NULL), 'INCREMENT BY', seqincrement, 'MINVALUE', seqmin, 'MAXVALUE', seqmax,
    'START WITH', seqstart, 'CACHE', seqcache, CASE WHEN seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END)
FROM seq c JOIN pg_sequence q ON q.seqrelid = c.oid
UNION ALL  -- of an identity column, too: neither is there without the other
SELECT 'sequence owner', '', c.id, a.rel || '.' || a.id
FROM seq c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refclassid = 'pg_class'::regclass
JOIN att a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid

-- functions and types
UNION ALL
SELECT 'function', '', id, rtrim(pg_get_functiondef(oid), chr(10)) FROM fun WHERE prokind <> 'a'
UNION ALL
SELECT 'aggregate', '', f.id, 'CREATE AGGREGATE ' || f.id || ' (' || concat_ws(', ', 'SFUNC = ' || aggtransfn::text,
    'STYPE = ' || format_type(aggtranstype, NULL), 'FINALFUNC = ' || nullif(aggfinalfn::text, '-'),
    'COMBINEFUNC = ' || nullif(aggcombinefn::text, '-'), 'INITCOND = ' || quote_literal(agginitval),
    'SORTOP = ' || CASE WHEN aggsortop <> 0 THEN aggsortop::regoperator::text END,
    'MSFUNC = ' || nullif(aggmtransfn::text, '-'), 'MINVFUNC = ' || nullif(aggminvtransfn::text, '-'),
    'PARALLEL = ' || CASE proparallel WHEN 's' THEN 'SAFE' WHEN 'r' THEN 'RESTRICTED' END,
    CASE aggkind WHEN 'h' THEN 'HYPOTHETICAL' WHEN 'o' THEN 'ORDERED-SET' END) || ')'
FROM fun f JOIN pg_aggregate g ON g.aggfnoid = f.oid
UNION ALL
SELECT 'enum', '', id, (SELECT coalesce(json_agg(enumlabel::text ORDER BY enumsortorder), '[]')::text FROM pg_enum
    WHERE enumtypid = t.oid)
FROM typ t WHERE typtype = 'e'
UNION ALL
SELECT 'domain', '', t.id, format_type(t.typbasetype, t.typtypmod)
    || CASE WHEN t.typcollation <> b.typcollation THEN ' COLLATE ' || (SELECT quote_ident(n.nspname) || '.'
        || quote_ident(collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = collnamespace
        WHERE c.oid = t.typcollation) ELSE '' END
FROM typ t JOIN pg_type b ON b.oid = t.typbasetype WHERE t.typtype = 'd'
UNION ALL
SELECT 'domain default', '', id, coalesce(pg_get_expr(typdefaultbin, 0), typdefault) FROM typ
WHERE typtype = 'd' AND typdefault IS NOT NULL
UNION ALL
SELECT 'domain not null', '', id, '' FROM typ WHERE typtype = 'd' AND typnotnull
UNION ALL
SELECT 'domain constraint', t.id, k.id, pg_get_constraintdef(k.oid) FROM con k JOIN typ t ON t.oid = k.contypid
UNION ALL
SELECT 'range', '', t.id, '(' || concat_ws(', ', 'SUBTYPE = ' || format_type(rngsubtype, NULL),
    'SUBTYPE_OPCLASS = ' || (SELECT quote_ident(n.nspname) || '.' || quote_ident(opcname) FROM pg_opclass o
        JOIN pg_namespace n ON n.oid = opcnamespace WHERE o.oid = rngsubopc AND NOT opcdefault),
    'COLLATION = ' || (SELECT quote_ident(n.nspname) || '.' || quote_ident(collname) FROM pg_collation c
        JOIN pg_namespace n ON n.oid = collnamespace WHERE c.oid = rngcollation AND collname <> 'default'),
    'CANONICAL = ' || nullif(rngcanonical::text, '-'), 'SUBTYPE_DIFF = ' || nullif(rngsubdiff::text, '-'),
    'MULTIRANGE_TYPE_NAME = ' || format_type(rngmultitypid, NULL)) || ')'
FROM typ t JOIN pg_range g ON g.rngtypid = t.oid
UNION ALL
SELECT 'composite type', '', t.id, '(' || coalesce((SELECT string_agg(quote_ident(attname) || ' '
        || format_type(atttypid, atttypmod) || CASE WHEN attcollation <> b.typcollation THEN ' COLLATE '
        || (SELECT quote_ident(n.nspname) || '.' || quote_ident(collname) FROM pg_collation c
            JOIN pg_namespace n ON n.oid = collnamespace WHERE c.oid = attcollation) ELSE '' END, ', ' ORDER BY attnum)
    FROM pg_attribute JOIN pg_type b ON b.oid = atttypid
    WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped), '') || ')'
FROM typ t WHERE typtype = 'c'
UNION ALL
SELECT 'base type', '', id, '(INPUT = ' || typinput::text || ', OUTPUT = ' || typoutput::text || ', INTERNALLENGTH = '
    || typlen || ')'
FROM typ WHERE typtype = 'b'

-- who may do what, and what people wrote about it
UNION ALL
SELECT 'owner', word, id, quote_ident(pg_get_userbyid(owner)) FROM owned
UNION ALL
SELECT 'privileges', word, id, (SELECT coalesce(string_agg(a::text, ', ' ORDER BY a::text), 'none') FROM unnest(acl) a)
FROM owned WHERE acl IS NOT NULL AND NOT (acl @> usual AND usual @> acl)
UNION ALL
SELECT 'privileges', 'COLUMN', rel || '.' || id, (SELECT string_agg(a::text, ', ' ORDER BY a::text) FROM unnest(attacl) a)
FROM att WHERE cardinality(attacl) > 0
UNION ALL
SELECT 'default privileges', quote_ident(pg_get_userbyid(defaclrole)), concat_ws(' ',
    'IN SCHEMA ' || (SELECT quote_ident(nspname) FROM pg_namespace n WHERE n.oid = defaclnamespace),
    CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES'
        WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END),
    (SELECT coalesce(string_agg(a::text, ', ' ORDER BY a::text), 'none') FROM unnest(defaclacl) a)
FROM pg_default_acl
UNION ALL
SELECT 'comment', CASE WHEN o.type LIKE '% column' THEN 'COLUMN' WHEN o.type LIKE '% constraint' THEN 'CONSTRAINT'
        WHEN o.type = 'composite type' THEN 'TYPE' WHEN o.type = 'statistics object' THEN 'STATISTICS'
        ELSE upper(o.type) END,
    CASE WHEN o.type = 'domain constraint' THEN (SELECT k.id || ' on domain ' || format_type(contypid, NULL) FROM con k
        WHERE k.oid = objoid) WHEN classoid = 'pg_proc'::regclass THEN objoid::regprocedure::text ELSE o.identity END,
    description
FROM pg_description d, pg_identify_object(classoid, objoid, objsubid) o
WHERE (objoid >= 16384 OR objoid = 'public'::regnamespace AND description <> 'standard public schema')
    AND (o.schema IS NULL OR o.schema !~ '^pg_')
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = d.classoid AND m.objid = d.objoid)
    AND classoid <> 'pg_extension'::regclass

-- what few have
UNION ALL
SELECT 'event trigger', '', quote_ident(evtname), 'CREATE EVENT TRIGGER ' || quote_ident(evtname) || ' ON ' || evtevent
    || coalesce(' WHEN TAG IN (' || (SELECT string_agg(quote_literal(g), ', ' ORDER BY g) FROM unnest(evttags) g) || ')',
    '') || ' EXECUTE FUNCTION ' || evtfoid::regproc || '()'
FROM pg_event_trigger
UNION ALL
SELECT 'event trigger state', '', quote_ident(evtname), evtenabled::text FROM pg_event_trigger WHERE evtenabled <> 'O'
UNION ALL
SELECT 'publication', '', quote_ident(pubname), concat_ws(', ', CASE WHEN puballtables THEN 'FOR ALL TABLES' END,
    CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END, CASE WHEN pubdelete THEN 'delete' END,
    CASE WHEN pubtruncate THEN 'truncate' END, CASE WHEN pubviaroot THEN 'publish_via_partition_root' END)
FROM pg_publication
UNION ALL
SELECT 'publication table', quote_ident(pubname), r.id, ''
FROM pg_publication p JOIN pg_publication_rel x ON x.prpubid = p.oid JOIN rel r ON r.oid = x.prrelid
UNION ALL
SELECT 'foreign data wrapper', '', quote_ident(fdwname), concat_ws(' ', 'HANDLER ' || nullif(fdwhandler::regproc::text, '-'),
    'VALIDATOR ' || nullif(fdwvalidator::regproc::text, '-'), array_to_string(fdwoptions, ', '))
FROM pg_foreign_data_wrapper w
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_foreign_data_wrapper'::regclass AND m.objid = w.oid)
UNION ALL
SELECT 'foreign server', '', quote_ident(srvname), concat_ws(' ', 'TYPE ' || quote_literal(srvtype),
    'VERSION ' || quote_literal(srvversion), 'FOREIGN DATA WRAPPER ' || quote_ident(fdwname),
    'OPTIONS (' || array_to_string(srvoptions, ', ') || ')')
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
UNION ALL  -- without its options: a password is among them
SELECT 'user mapping', quote_ident(srvname), CASE umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(usename) END, ''
FROM pg_user_mappings
UNION ALL
SELECT 'operator', '', o.oid::regoperator::text, concat_ws(', ', 'FUNCTION = ' || oprcode::text,
    'COMMUTATOR = ' || CASE WHEN oprcom <> 0 THEN oprcom::regoper::text END,
    'NEGATOR = ' || CASE WHEN oprnegate <> 0 THEN oprnegate::regoper::text END,
    'RESTRICT = ' || nullif(oprrest::text, '-'), 'JOIN = ' || nullif(oprjoin::text, '-'),
    CASE WHEN oprcanmerge THEN 'MERGES' END, CASE WHEN oprcanhash THEN 'HASHES' END)
FROM pg_operator o JOIN space s ON s.oid = o.oprnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_operator'::regclass AND m.objid = o.oid)
UNION ALL
SELECT 'operator class', amname, s.id || '.' || quote_ident(opcname), concat_ws(' ', CASE WHEN opcdefault THEN 'DEFAULT' END,
    'FOR TYPE ' || format_type(opcintype, NULL), 'STORAGE ' || CASE WHEN opckeytype <> 0 THEN format_type(opckeytype, NULL) END,
    (SELECT string_agg(concat_ws(' ', 'OPERATOR', amopstrategy, amopopr::regoperator), ', ' ORDER BY amopstrategy)
        FROM pg_amop WHERE amopfamily = opcfamily AND amoplefttype = opcintype),
    (SELECT string_agg(concat_ws(' ', 'FUNCTION', amprocnum, amproc::regprocedure), ', ' ORDER BY amprocnum)
        FROM pg_amproc WHERE amprocfamily = opcfamily AND amproclefttype = opcintype))
FROM pg_opclass o JOIN space s ON s.oid = o.opcnamespace JOIN pg_am a ON a.oid = o.opcmethod
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_opclass'::regclass AND m.objid = o.oid)
UNION ALL
SELECT 'cast', '', '(' || format_type(castsource, NULL) || ' AS ' || format_type(casttarget, NULL) || ')', concat_ws(' ',
    CASE castmethod WHEN 'f' THEN 'WITH FUNCTION ' || castfunc::regprocedure WHEN 'i' THEN 'WITH INOUT'
        ELSE 'WITHOUT FUNCTION' END, CASE castcontext WHEN 'i' THEN 'AS IMPLICIT' WHEN 'a' THEN 'AS ASSIGNMENT' END)
FROM pg_cast c WHERE c.oid >= 16384 AND NOT EXISTS (  -- nor the one of a range type to its multirange
    SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i'))
UNION ALL  -- the column for the locale has three names, by version
SELECT 'collation', '', s.id || '.' || quote_ident(collname), concat_ws(', ', 'PROVIDER = ' || collprovider::text,
    'LOCALE = ' || quote_literal(coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', collcollate)),
    'LC_CTYPE = ' || quote_literal(collctype), CASE WHEN NOT collisdeterministic THEN 'DETERMINISTIC = false' END)
FROM pg_collation c JOIN space s ON s.oid = c.collnamespace
UNION ALL
SELECT 'text search configuration', '', s.id || '.' || quote_ident(cfgname), 'PARSER = ' || (SELECT quote_ident(prsname)
    FROM pg_ts_parser p WHERE p.oid = cfgparser) || coalesce('; ' || (SELECT string_agg(concat_ws(' ', maptokentype,
    mapdict::regdictionary), ', ' ORDER BY maptokentype, mapseqno) FROM pg_ts_config_map WHERE mapcfg = c.oid), '')
FROM pg_ts_config c JOIN space s ON s.oid = c.cfgnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_ts_config'::regclass AND m.objid = c.oid)
UNION ALL
SELECT 'text search dictionary', '', s.id || '.' || quote_ident(dictname), concat_ws(', ', 'TEMPLATE = ' || (SELECT
    quote_ident(tmplname) FROM pg_ts_template t WHERE t.oid = dicttemplate), dictinitoption)
FROM pg_ts_dict d JOIN space s ON s.oid = d.dictnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_ts_dict'::regclass AND m.objid = d.oid)
UNION ALL
SELECT 'language', '', quote_ident(lanname), concat_ws(' ', CASE WHEN lanpltrusted THEN 'TRUSTED' END, 'HANDLER',
    lanplcallfoid::regproc)
FROM pg_language l WHERE lanispl AND l.oid >= 16384
    AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_language'::regclass AND m.objid = l.oid)

-- from PostgreSQL 15 on
UNION ALL
SELECT 'publication filter', quote_ident(pubname), r.id, concat_ws(' ',
    '(' || (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = r.oid
        AND attnum = ANY (x.prattrs)) || ')', 'WHERE ' || pg_get_expr(x.prqual, x.prrelid))
FROM pg_publication p JOIN pg_publication_rel x ON x.prpubid = p.oid JOIN rel r ON r.oid = x.prrelid
WHERE x.prqual IS NOT NULL OR x.prattrs IS NOT NULL
UNION ALL
SELECT 'publication schema', quote_ident(pubname), s.id, ''
FROM pg_publication p JOIN pg_publication_namespace x ON x.pnpubid = p.oid JOIN space s ON s.oid = x.pnnspid
