DROP VIEW search_index;
DROP INDEX teams_name_trgm_idx;
DROP INDEX users_name_trgm_idx;
DROP INDEX nodes_name_trgm_idx;
